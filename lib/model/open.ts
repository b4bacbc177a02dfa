import { join } from "node:path";
import { emitWarning, KvasirError, type Warn } from "../errors.ts";
import { PARSED_AT_ONCE } from "../files/limits.ts";
import { fileSizeIfPresent, namesIn } from "../files/paths.ts";
import { safetensorsHeaderBytes } from "../files/safetensors.ts";
import { untilAborted } from "../run/abort.ts";
import type { Inspected, InspectionCall } from "../workers/model-worker.ts";
import { tellAll } from "../workers/told.ts";
import { WorkerClient, workerUrl } from "../workers/worker-client.ts";
import { type Findings, INSPECTIONS } from "./inspect.ts";
import type { ModelSource, TextSource } from "./spec.ts";

export { ARCHITECTURES } from "./families/index.ts";

/**
 * Opens a model: a Hugging Face directory, a .gguf file, or a directory with one of these. Nothing of the weights is read; whatever is wrong
 * with the files is a typed error. `signal` ends it at once.
 */
export function openModel(path: string, warn: Warn = emitWarning, signal?: AbortSignal): Promise<ModelSource> {
  return inspect("model", path, { warn, signal });
}

/** Opens what a model's files say about text; files that hold a vocabulary and no weights will do. */
export function openText(path: string, warn: Warn = emitWarning, signal?: AbortSignal): Promise<TextSource> {
  return inspect("text", path, { warn, signal });
}

/** Throws for a directory's config.json what {@link openModel} would throw of its architecture or quantization. Weights may be absent. */
export function checkRuns(directory: string): Promise<void> {
  return inspect("runs", directory, SILENT);
}

/** Names of the files that a directory's model.safetensors.index.json lists. */
export function shardsIn(directory: string): Promise<string[]> {
  return inspect("shards", directory, SILENT);
}

interface Inspection {
  warn: Warn;
  signal: AbortSignal | undefined;
}

const SILENT: Inspection = { warn: () => {}, signal: undefined };

/** Files are parsed here where that takes no longer than a step, else in a thread: the event loop waits for none. */
async function inspect<Question extends keyof Findings>(question: Question, path: string, how: Inspection): Promise<Findings[Question]> {
  const isLong = await hasLongJson(path, question === "model");
  return isLong ? inspectInThread(question, path, how) : untilAborted(INSPECTIONS[question](path, how.warn), how.signal);
}

/** What is read of a directory beside tokenizer.json, which the tokenizer's threads read. */
const SETTINGS = ["config.json", "generation_config.json", "tokenizer_config.json", "chat_template.json", "model.safetensors.index.json"];

/** A GGUF isn't JSON: it is read in short turns. The headers of safetensors are JSON, which is read where weights are asked for. */
async function hasLongJson(path: string, withHeaders: boolean): Promise<boolean> {
  const names = new Set(await namesIn(path));
  const isLong = (bytes: number | undefined): boolean => bytes !== undefined && bytes > PARSED_AT_ONCE;
  for (const name of SETTINGS) if (names.has(name) && isLong(await fileSizeIfPresent(join(path, name)))) return true;
  for (const name of withHeaders ? names : []) {
    // What is wrong with a file is told by who reads it.
    if (name.endsWith(".safetensors") && isLong(await safetensorsHeaderBytes(join(path, name)).catch(() => undefined))) return true;
  }
  return false;
}

/** Milliseconds of processor time. Chosen: files at all limits at once take some ten seconds. */
const DEADLINE_MS = 20_000;

async function inspectInThread<Question extends keyof Findings>(
  question: Question,
  path: string,
  { warn, signal }: Inspection,
): Promise<Findings[Question]> {
  const failure = (reason: string): KvasirError => new KvasirError("FILE_INVALID", `${path}: the thread that read it was ended: ${reason}`);
  const worker = new WorkerClient({ module: workerUrl("model-worker"), data: undefined, failure });
  try {
    const call: InspectionCall = { question, path };
    const { found, warnings } = await worker.call<Inspected<Question>>(call, { deadlineMs: DEADLINE_MS, ...(signal && { signal }) });
    tellAll(warnings, warn);
    return found;
  } finally {
    await worker.close();
  }
}
