import { join, resolve } from "node:path";
import { checkString, invalid } from "../check.ts";
import { exists } from "../files/paths.ts";
import { hubNameIn, hubNameOf, isHubName, showName } from "../hub/names.ts";
import { type HubRequest, openFromHub } from "../hub/open.ts";
import { type HubSettings, hubSettings } from "../hub/settings.ts";
import { noModelAt } from "../model/inspect.ts";
import { packageFolder } from "../package/folder.ts";

/** A model as a caller names it. */
export interface NamedModel {
  text: string;
  /** The text as a path, absolute: where the working directory is later on changes nothing. */
  path: string;
}

/** Where a model's files are. */
export interface LocatedModel {
  path: string;
  /** What a model of the hub is called; others are called by their files. */
  name?: string;
}

/** Longest path or name: Linux's own bound of paths. */
const MAX_NAME = 4096;

/** What a caller means by a model's name or path, in the turn of the call. */
export function nameModel(model: unknown): NamedModel {
  const text = checkString("model", model);
  if (text === "" || text.length > MAX_NAME) throw invalid("model", text, `a path or name of 1 to ${MAX_NAME} characters`);
  try {
    return { text, path: resolve(text) };
  } catch {
    // The working directory is gone, and so is what lies in it.
    return { text, path: text };
  }
}

/**
 * Finds a model, and downloads what isn't there: `"tales"` is the bundled one, `hf:ORG/NAME` the hub's, a path that exists is that; of the rest
 * what looks like ORG/NAME is the hub's. `settings` come before those of the environment.
 */
export async function locateModel(
  { text, path }: NamedModel,
  request: HubRequest,
  settings: Partial<HubSettings> = {},
): Promise<LocatedModel> {
  const folder = packageFolder(); // for every model: in a bundle the workers that read one are missing, and this says so
  if (text === "tales") return { path: join(folder, "models/tales-q4_0.gguf") };
  if (!isHubName(text) && (await exists(path))) return { path };
  const hub = isHubName(text) ? hubNameOf(text) : hubNameIn(text);
  if (hub === undefined) throw noModelAt(text, request.textOnly ? "tokenizer.json" : "config.json");
  return { path: await openFromHub(hub, { ...(await hubSettings()), ...settings }, request), name: showName(hub) };
}

/** A model's files, opened; one of the hub is called by its name there. */
export async function openLocated<Source extends { name: string }>(
  { path, ...name }: LocatedModel,
  open: (path: string) => Promise<Source>,
): Promise<Source> {
  return { ...(await open(path)), ...name };
}
