import { stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { checkString } from "../check.ts";
import { type HubName, hubNameIn, hubNameOf, showName } from "../hub/names.ts";
import { type HubRequest, openFromHub } from "../hub/open.ts";
import { type HubSettings, hubSettings } from "../hub/settings.ts";

/** Where a model's files are. */
export interface LocatedModel {
  path: string;
  /** What a model of the hub is called; others are called by their files. */
  name?: string;
}

/**
 * Finds a model, and downloads what isn't there: `"tales"` is the bundled one, `hf:ORG/NAME` the hub's, a path that exists is that; of the rest
 * what looks like ORG/NAME is the hub's. `settings` come before those of the environment.
 */
export async function locateModel(model: unknown, request: HubRequest, settings: Partial<HubSettings> = {}): Promise<LocatedModel> {
  const text = checkString("model", model);
  if (text === "tales") return { path: fileURLToPath(new URL("../../models/tales-q4_0.gguf", import.meta.url)) };
  const hub = await hubNameUnlessPath(text);
  if (hub === undefined) return { path: text };
  return { path: await openFromHub(hub, { ...(await hubSettings()), ...settings }, request), name: showName(hub) };
}

async function hubNameUnlessPath(text: string): Promise<HubName | undefined> {
  if (text.startsWith("hf:")) return hubNameOf(text.slice("hf:".length));
  const exists = await stat(text).then(
    () => true,
    () => false,
  );
  return exists ? undefined : hubNameIn(text);
}
