import { emitWarning, KvasirError, type Warn } from "../errors.ts";
import { openModel } from "../model/open.ts";
import type { ModelSource } from "../model/spec.ts";
import { type LocatedModel, locateModel, nameModel, openLocated } from "../run/locate.ts";

/** Where a model's files are, of commands that download nothing: a name on the hub has to be in the cache. */
export async function locateCached(model: string): Promise<LocatedModel> {
  try {
    return await locateModel(nameModel(model), { textOnly: false, warn: emitWarning }, { offline: true });
  } catch (error) {
    if (!(error instanceof KvasirError) || error.code !== "OFFLINE") throw error;
    const message = `${model} is a name on the hub, and the cache has not all of it; kvasir pull ${model} gets it`;
    throw new KvasirError("OFFLINE", message, { cause: error });
  }
}

/** A model's files, opened; weights are not read. */
export async function openCached(model: string, warn: Warn = emitWarning): Promise<ModelSource> {
  return openLocated(await locateCached(model), (path) => openModel(path, warn));
}
