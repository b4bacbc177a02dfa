import { stat } from "node:fs/promises";
import { emitWarning, KvasirError, type Warn } from "../errors.ts";
import { openGguf, openGgufText } from "./gguf.ts";
import { openHuggingFace, openHuggingFaceText } from "./huggingface.ts";
import type { ModelSource, TextSource } from "./spec.ts";

export { ARCHITECTURES } from "./families/index.ts";

/** Opens a model: a Hugging Face directory or a .gguf file. Nothing of the weights is read; whatever is wrong with the files is a typed error. */
export async function openModel(path: string, warn: Warn = emitWarning): Promise<ModelSource> {
  return (await isDirectory(path, "config.json")) ? openHuggingFace(path, warn) : openGguf(path, warn);
}

/** Opens what a model's files say about text; files that hold a vocabulary and no weights will do. */
export async function openText(path: string, warn: Warn = emitWarning): Promise<TextSource> {
  return (await isDirectory(path, "tokenizer.json")) ? openHuggingFaceText(path, warn) : openGgufText(path, warn);
}

async function isDirectory(path: string, file: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (cause) {
    throw new KvasirError("FILE_NOT_FOUND", `${path} does not exist; expected a directory with ${file} or a .gguf file`, { cause });
  }
}
