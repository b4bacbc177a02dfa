import { join } from "node:path";
import { counted, KvasirError, type Warn } from "../errors.ts";
import { ggufModels } from "../files/gguf-parts.ts";
import { namesIn, statIfPresent } from "../files/paths.ts";
import { safetensorsShards } from "../files/safetensors.ts";
import { openGguf, openGgufText } from "./gguf.ts";
import { checkHuggingFaceRuns, openHuggingFace, openHuggingFaceText } from "./huggingface.ts";
import type { ModelSource, TextSource } from "./spec.ts";

/** What may be asked of a model's files. */
export interface Findings {
  model: ModelSource;
  text: TextSource;
  /** The names of the files with its weights, by the index. */
  shards: string[];
  /** Nothing: it throws for what is known not to run without its weights. */
  runs: undefined;
}

/** Reads a model's files, as far as the question goes. Nothing of the weights is read; whatever is wrong with the files is a typed error. */
export const INSPECTIONS: { [Question in keyof Findings]: (path: string, warn: Warn) => Promise<Findings[Question]> } = {
  model: async (path, warn) => {
    const gguf = await ggufAt(path, "config.json", (name) => name.endsWith(".safetensors"));
    return gguf === undefined ? openHuggingFace(path, warn) : openGguf(gguf, warn);
  },
  text: async (path, warn) => {
    const gguf = await ggufAt(path, "tokenizer.json", (name) => name === "tokenizer.json");
    return gguf === undefined ? openHuggingFaceText(path, warn) : openGgufText(gguf, warn);
  },
  shards: safetensorsShards,
  runs: async (path) => void (await checkHuggingFaceRuns(path)),
};

/** FILE_NOT_FOUND about a path; `file` is what a directory should have. */
export function noModelAt(path: string, file: string): KvasirError {
  return new KvasirError("FILE_NOT_FOUND", `${path} does not exist; expected a directory with ${file} or a .gguf file`);
}

/** The .gguf file that a path means; `undefined` for a directory that has what Hugging Face's have, or no .gguf either. */
export async function ggufAt(path: string, file: string, isHuggingFace: (name: string) => boolean): Promise<string | undefined> {
  const found = await statIfPresent(path);
  if (found === undefined) throw noModelAt(path, file);
  if (!found.isDirectory()) return path;
  const names = await namesIn(path);
  const models = names.some(isHuggingFace) ? [] : ggufModels(names);
  if (models.length <= 1) return models[0] && join(path, models[0].parts[0]!);
  const list = models.map(({ parts }) => parts[0]).join(", ");
  throw new KvasirError(
    "INVALID_ARGUMENT",
    `${path} is a directory with ${counted(models.length, "model")}; expected the path of one: ${list}`,
  );
}
