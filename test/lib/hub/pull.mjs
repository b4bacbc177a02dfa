import { hubNameOf } from "../../../dist/hub/names.js";
import { openFromHub } from "../../../dist/hub/open.js";
import { hubSettings } from "../../../dist/hub/settings.js";

// A process that downloads a model: NAME, the pace as JSON; the path on stdout.
const [name, pace] = process.argv.slice(2);
const settings = await hubSettings(process.env, JSON.parse(pace));
console.log(await openFromHub(hubNameOf(name), settings, { textOnly: false, warn: console.error }));
