import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { emitWarning, KvasirError, type Warn } from "../errors.ts";
import { ggufModels } from "../files/gguf-parts.ts";
import { openGguf, openGgufText } from "./gguf.ts";
import { openHuggingFace, openHuggingFaceText } from "./huggingface.ts";
import type { ModelSource, TextSource } from "./spec.ts";

export { ARCHITECTURES } from "./families/index.ts";

/**
 * Opens a model: a Hugging Face directory, a .gguf file, or a directory with one of these. Nothing of the weights is read; whatever is wrong
 * with the files is a typed error.
 */
export async function openModel(path: string, warn: Warn = emitWarning): Promise<ModelSource> {
  const gguf = await ggufAt(path, "config.json", (name) => name.endsWith(".safetensors"));
  return gguf === undefined ? openHuggingFace(path, warn) : openGguf(gguf, warn);
}

/** Opens what a model's files say about text; files that hold a vocabulary and no weights will do. */
export async function openText(path: string, warn: Warn = emitWarning): Promise<TextSource> {
  const gguf = await ggufAt(path, "tokenizer.json", (name) => name === "tokenizer.json");
  return gguf === undefined ? openHuggingFaceText(path, warn) : openGgufText(gguf, warn);
}

/** The .gguf file that a path means; `undefined` for a directory that has what Hugging Face's have, or no .gguf either. */
export async function ggufAt(path: string, file: string, isHuggingFace: (name: string) => boolean): Promise<string | undefined> {
  const found = await stat(path).catch((cause) => {
    throw new KvasirError("FILE_NOT_FOUND", `${path} does not exist; expected a directory with ${file} or a .gguf file`, { cause });
  });
  if (!found.isDirectory()) return path;
  const names = await readdir(path).catch((cause: Error) => {
    throw new KvasirError("FILE_NOT_FOUND", `${path} cannot be read: ${cause.message}`, { cause });
  });
  const models = names.some(isHuggingFace) ? [] : ggufModels(names);
  if (models.length <= 1) return models[0] && join(path, models[0].parts[0]!);
  const list = models.map(({ parts }) => parts[0]).join(", ");
  throw new KvasirError("INVALID_ARGUMENT", `${path} is a directory with ${models.length} models; expected the path of one: ${list}`);
}
