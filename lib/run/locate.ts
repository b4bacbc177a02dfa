import { stat } from "node:fs/promises";
import { join } from "node:path";
import { checkString, invalid } from "../check.ts";
import { type HubName, hubNameIn, hubNameOf, showName } from "../hub/names.ts";
import { type HubRequest, openFromHub } from "../hub/open.ts";
import { hubSettings } from "../hub/settings.ts";
import { packageFolder } from "../package/folder.ts";

/** Where a model's files are. */
export interface LocatedModel {
  path: string;
  /** What a model of the hub is called; others are called by their files. */
  name?: string;
}

/** Longest path or name: Linux's own bound of paths. */
const MAX_NAME = 4096;

/**
 * Finds a model, and downloads what isn't there: `"tales"` is the bundled one, `hf:ORG/NAME` the hub's, a path that exists is that; of the rest
 * what looks like ORG/NAME is the hub's.
 */
export async function locateModel(model: unknown, request: HubRequest): Promise<LocatedModel> {
  const text = checkString("model", model);
  if (text.length > MAX_NAME) throw invalid("model", text, `a path or name of at most ${MAX_NAME} characters`);
  const folder = packageFolder();
  if (text === "tales") return { path: join(folder, "models/tales-q4_0.gguf") };
  const hub = await hubNameUnlessPath(text);
  if (hub === undefined) return { path: text };
  return { path: await openFromHub(hub, await hubSettings(), request), name: showName(hub) };
}

async function hubNameUnlessPath(text: string): Promise<HubName | undefined> {
  if (text.startsWith("hf:")) return hubNameOf(text.slice("hf:".length));
  const exists = await stat(text).then(
    () => true,
    () => false,
  );
  return exists ? undefined : hubNameIn(text);
}
