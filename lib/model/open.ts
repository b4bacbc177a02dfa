import { stat } from "node:fs/promises";
import { KvasirError } from "../errors.ts";
import { openGguf } from "./gguf.ts";
import { openHuggingFace } from "./huggingface.ts";
import type { ModelSource } from "./spec.ts";

export { ARCHITECTURES } from "./families/index.ts";

/** Opens a model: a Hugging Face directory or a .gguf file. Nothing of the weights is read; whatever is wrong with the files is a typed error. */
export async function openModel(path: string): Promise<ModelSource> {
  let isDirectory: boolean;
  try {
    isDirectory = (await stat(path)).isDirectory();
  } catch (cause) {
    throw new KvasirError("FILE_NOT_FOUND", `${path} does not exist; expected a directory with config.json or a .gguf file`, { cause });
  }
  return isDirectory ? openHuggingFace(path) : openGguf(path);
}
