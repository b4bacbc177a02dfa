import { execFile } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { ERROR_CODES } from "../../../lib/errors.ts";
import { dataOf, type GgufInput, ggufBytes, type MetadataValue, safetensorsBytes, safetensorsHeader } from "../../support/files.ts";
import { FP8_DIALECTS, fp8Model } from "../../support/fp8.ts";
import { growInput, growJson } from "../../support/growth.ts";
import { configOf, ggufModel, huggingFaceTensors, type ModelShape, TINY } from "../../support/models.ts";
import { mutate, mutateInput, mutateJson, mutateSafetensors, randomIntegers } from "../../support/mutants.ts";
import { partPath, writeSplitGguf } from "../../support/split.ts";
import { byteLevelJson } from "../../support/tokenizer-json.ts";
import { LLAMA, quantizedModel, writeQuantizedModel } from "./random-models.ts";

/** Models with broken files: written by seed, opened by a process of their own, and judged. */

const SHAPE: ModelShape = { ...TINY, architecture: "gemma3", layers: 6 };

/** What open-mutants.mjs says of a mutant. */
interface Report {
  name: string;
  milliseconds: number;
  /** Processor time of the event loop's longest turn, in milliseconds. */
  turn: number;
  /** Bytes by which the process grew beyond those of the model's files. */
  memory: number;
  /** Whether a request to a healthy model got the same tokens and log-probabilities meanwhile. */
  unaffected: boolean;
  code?: string;
  message?: string;
  crash?: string;
  tokens?: number;
  maxContext?: number;
}

/** Mutants that a process opens. A process dies of what hangs: a second each is far more than they take. */
const EACH_PROCESS = 250;
const PROCESS_MS = 250_000;

/** What a mutant may take of the event loop at once, and of memory beyond its files. */
const MAX_TURN_MS = 100;
const MAX_MEMORY = 300e6;

/** Writes a mutant by its seed as `path`, with an ending of its own. */
type WriteMutant = (path: string, seed: number) => void | Promise<void>;

/** Writes `count` mutants below a directory and opens them all. */
export async function openMutants(directory: string, count: number, write: WriteMutant): Promise<Report[]> {
  mkdirSync(directory);
  const { path: healthy } = await writeQuantizedModel(directory, "healthy", LLAMA);
  const reports: Report[] = [];
  for (let first = 0; first < count; first += EACH_PROCESS) {
    const models = join(directory, `from-${first}`);
    mkdirSync(models);
    for (let seed = first; seed < Math.min(count, first + EACH_PROCESS); seed++) await write(join(models, String(seed)), seed);
    reports.push(...(await openAll(healthy, models)));
    rmSync(models, { recursive: true });
  }
  return reports;
}

function openAll(healthy: string, models: string): Promise<Report[]> {
  const script = fileURLToPath(new URL("open-mutants.mjs", import.meta.url));
  const dist = fileURLToPath(new URL("../../../dist", import.meta.url));
  const options = { timeout: PROCESS_MS, maxBuffer: 2 ** 26 };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [script, dist, healthy, models], options, (error, stdout) => {
      const lines = stdout.split("\n").filter((line) => line !== "");
      if (error) reject(new Error(`the process died at the mutant after ${lines.at(-1) ?? "none"} of ${models}`, { cause: error }));
      else resolve(lines.map((line) => JSON.parse(line) as Report));
    });
  });
}

/** What mutants are made of, and how many of a hundred open all the same, at least: few of an index.json. */
export const MUTANTS: readonly { name: string; opened: number; write: () => WriteMutant }[] = [
  { name: "GGUF", opened: 5, write: writeGgufMutant },
  { name: "split GGUF", opened: 5, write: writeSplitMutant },
  { name: "safetensors", opened: 5, write: () => writeHuggingFaceMutant("model.safetensors") },
  { name: "config.json", opened: 1, write: () => writeHuggingFaceMutant("config.json") },
  { name: "float8", opened: 2, write: writeFp8Mutant },
  { name: "index.json", opened: 0, write: () => writeHuggingFaceMutant("model.safetensors.index.json") },
  { name: "tokenizer_config.json", opened: 5, write: () => writeChatMutant("tokenizer_config.json") },
  { name: "generation_config.json", opened: 5, write: () => writeChatMutant("generation_config.json") },
];

/**
 * Each has a typed error or generates, within 2 s and 300 MB, and harms no other request. Returns how many of each there are, and the largest
 * figures. How long the event loop waits is for a machine to show that has nothing else to do.
 */
export function expectHarmless(reports: Report[], count: number, leastOpened: number, { turns = false } = {}): string {
  expect(reports).toHaveLength(count);
  const typed = ERROR_CODES.filter((code) => code !== "INTERNAL");
  const counts: Record<string, number> = { opened: 0 };
  for (const report of reports) {
    const works = report.tokens !== undefined && report.tokens === Math.min(4, report.maxContext! - 1);
    if (!works) expect(typed, JSON.stringify(report)).toContain(report.code);
    expect(report.milliseconds, JSON.stringify(report)).toBeLessThan(2000);
    expect(report.unaffected, JSON.stringify(report)).toBe(true);
    expect(report.memory, JSON.stringify(report)).toBeLessThanOrEqual(MAX_MEMORY);
    if (turns) expect(report.turn, JSON.stringify(report)).toBeLessThanOrEqual(MAX_TURN_MS);
    const outcome = report.code ?? "opened";
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  // Both happen, or the mutants would show little.
  expect(counts.opened).toBeGreaterThanOrEqual((count * leastOpened) / 100);
  expect(counts.opened).toBeLessThan(count * 0.9);
  const most = (figure: "milliseconds" | "turn" | "memory"): number => Math.max(...reports.map((report) => report[figure]));
  const outcomes = Object.entries(counts).map(([outcome, number]) => `${number} ${outcome}`);
  const figures = `${most("milliseconds").toFixed(0)} ms, a turn of ${most("turn")} ms and ${(most("memory") / 1e6).toFixed(0)} MB beyond its files`;
  return `${outcomes.join(", ")}; at most ${figures}`;
}

/** A byte-level vocabulary of the shape's size. */
function tokenizerMetadata(): Record<string, MetadataValue> {
  const tokens = Array.from({ length: SHAPE.vocabSize }, (_, id) => (id < 3 ? `<${id}>` : String.fromCharCode(62 + id)));
  return {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "gpt-2",
    "tokenizer.ggml.tokens": tokens,
    "tokenizer.ggml.token_type": tokens.map((_, id) => (id < 3 ? 3 : 1)),
    "tokenizer.ggml.merges": ["A B", "AB C"],
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
  };
}

/** A third each: plain ones, ones with a tokenizer, whose worker reads the file again, and ones with weights of all types. */
function ggufInputs(): GgufInput[] {
  const plain = ggufModel(SHAPE);
  return [plain, { ...plain, metadata: { ...plain.metadata, ...tokenizerMetadata() } }, quantizedModel(LLAMA).input];
}

/** GGUF files: bytes and numbers of most, of every tenth an entry or tensor as a whole, and every tenth grown. */
function writeGgufMutant(): WriteMutant {
  const inputs = ggufInputs();
  const files = inputs.map(ggufBytes);
  return (path, seed) => {
    const input = inputs[seed % 3]!;
    const change = seed % 10 === 9 ? mutateInput : seed % 10 === 8 ? growInput : undefined;
    const bytes = change === undefined ? mutate(files[seed % 3]!, seed) : ggufBytes(change(input, randomIntegers(seed))).bytes;
    writeFileSync(`${path}.gguf`, bytes);
  };
}

/** JSON with other values; every fifth grown. */
function mutatedJson(text: string, seed: number): string {
  return (seed % 5 === 4 ? growJson : mutateJson)(text, randomIntegers(seed));
}

/** A safetensors file whose header, or bytes, are a mutant's; every fifth has a grown header. */
function mutatedSafetensors(bytes: Buffer, seed: number): Buffer {
  if (seed % 5 !== 4) return mutateSafetensors(bytes, seed);
  const end = 8 + Number(bytes.readBigUInt64LE());
  return safetensorsBytes(growJson(bytes.subarray(8, end).toString(), randomIntegers(seed)), [bytes.subarray(end)]);
}

/** A split GGUF, one of whose parts is a mutant. */
function writeSplitMutant(): WriteMutant {
  const input = ggufModel(SHAPE);
  return async (path, seed) => {
    const directory = `${path}.parts`;
    mkdirSync(directory);
    const count = 3;
    await writeSplitGguf(directory, "model", input, count);
    const part = seed % count;
    const metadata = {
      ...(part === 0 ? input.metadata : {}),
      "split.no": part,
      "split.count": count,
      "split.tensors.count": input.tensors.length,
    };
    const each = Math.ceil(input.tensors.length / count);
    const file = ggufBytes({ metadata, tensors: input.tensors.slice(part * each, (part + 1) * each) });
    writeFileSync(partPath(directory, "model", part, count), mutate(file, seed));
  };
}

/** Hugging Face directories with weights in F8_E4M3, of which config.json or model.safetensors is a mutant. */
function writeFp8Mutant(): WriteMutant {
  const shape: ModelShape = { ...TINY, hiddenSize: 64, headSize: 16 };
  const models = Object.values(FP8_DIALECTS).map((dialect) => {
    const { config, tensors } = fp8Model(shape, dialect);
    return { config: JSON.stringify(config), bytes: safetensorsBytes(safetensorsHeader(tensors), tensors.map(dataOf)) };
  });
  return (path, seed) => {
    const { config, bytes } = models[seed % models.length]!;
    mkdirSync(path);
    writeFileSync(join(path, "config.json"), seed % 2 === 0 ? mutatedJson(config, seed) : config);
    writeFileSync(join(path, "model.safetensors"), seed % 2 === 0 ? bytes : mutatedSafetensors(bytes, seed));
  };
}

/** What of a Hugging Face directory is broken. */
type BrokenFile = "model.safetensors" | "config.json" | "model.safetensors.index.json";

/** A Hugging Face directory one of whose files is a mutant. */
function writeHuggingFaceMutant(broken: BrokenFile): WriteMutant {
  const tensors = huggingFaceTensors(SHAPE);
  const fileOf = (part: typeof tensors) =>
    safetensorsBytes(
      { __metadata__: { format: "pt" }, ...safetensorsHeader(part) },
      part.map(({ data }) => data!),
    );
  const bytes = fileOf(tensors);
  const half = tensors.length >> 1;
  const shards = [tensors.slice(0, half), tensors.slice(half)];
  const nameOf = (shard: number) => `model-0000${shard + 1}-of-00002.safetensors`;
  const map = Object.fromEntries(shards.flatMap((part, shard) => part.map(({ name }) => [name, nameOf(shard)])));
  const index = JSON.stringify({ metadata: { total_size: bytes.length }, weight_map: map });
  const config = JSON.stringify(configOf(SHAPE));
  return (path, seed) => {
    mkdirSync(path);
    const write = (name: string, content: string | Buffer): void => writeFileSync(join(path, name), content);
    const mutated = (name: BrokenFile, text: string): string => (broken === name ? mutatedJson(text, seed) : text);
    write("config.json", mutated("config.json", config));
    if (broken !== "model.safetensors.index.json") {
      write("model.safetensors", broken === "model.safetensors" ? mutatedSafetensors(bytes, seed) : bytes);
      return;
    }
    write(broken, mutated(broken, index));
    for (const [shard, part] of shards.entries()) write(nameOf(shard), fileOf(part));
  };
}

/** A directory that chats, one of whose settings of text is a mutant. */
function writeChatMutant(broken: "tokenizer_config.json" | "generation_config.json"): WriteMutant {
  const shape = { ...SHAPE, vocabSize: 320 };
  const tensors = huggingFaceTensors(shape);
  const weights = safetensorsBytes(
    safetensorsHeader(tensors),
    tensors.map(({ data }) => data!),
  );
  const files: Record<string, Buffer | string> = {
    "model.safetensors": weights,
    "config.json": JSON.stringify(configOf(shape)),
    "tokenizer.json": JSON.stringify(byteLevelJson()),
    "tokenizer_config.json": JSON.stringify({
      tokenizer_class: "PreTrainedTokenizerFast",
      added_tokens_decoder: { 0: { content: "<s>", special: true, normalized: false, lstrip: false, rstrip: false, single_word: false } },
      bos_token: { content: "<s>", special: true },
      eos_token: "<s>",
      add_bos_token: false,
      model_max_length: 64,
      chat_template: [
        { name: "default", template: "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}" },
        { name: "tool_use", template: "{{ tools | tojson }}" },
      ],
    }),
    "generation_config.json": JSON.stringify({
      bos_token_id: 0,
      eos_token_id: [0, 1],
      do_sample: true,
      temperature: 0.6,
      top_p: 0.9,
      top_k: 50,
      min_p: 0.01,
      repetition_penalty: 1.1,
    }),
  };
  return (path, seed) => {
    mkdirSync(path);
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(path, name), name === broken ? mutatedJson(String(content), seed) : content);
    }
  };
}
