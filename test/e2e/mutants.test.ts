import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { ERROR_CODES } from "../../lib/errors.ts";
import { ggufBytes, type MetadataValue, safetensorsBytes, safetensorsHeader } from "../support/files.ts";
import { configOf, ggufModel, huggingFaceTensors, type ModelShape, TINY } from "../support/models.ts";
import { mutate, mutateJson, mutateSafetensors, randomIntegers } from "../support/mutants.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const COUNT = 200;
const SHAPE: ModelShape = { ...TINY, architecture: "gemma3", layers: 6 };
const directory = temporaryDirectory();

/** What open-mutants.mjs says of a mutant. */
interface Report {
  name: string;
  milliseconds: number;
  code?: string;
  message?: string;
  crash?: string;
  tokens?: number;
  maxContext?: number;
}

/** A process dies of what hangs: all mutants together get less than two seconds each. */
async function openAll(models: string): Promise<Report[]> {
  const script = fileURLToPath(new URL("support/open-mutants.mjs", import.meta.url));
  const index = fileURLToPath(new URL("../../dist/index.js", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script, index, models], { timeout: 60_000, maxBuffer: 2 ** 26 });
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Report);
}

function expectHarmless(reports: Report[], count: number): void {
  expect(reports).toHaveLength(count);
  const typed = ERROR_CODES.filter((code) => code !== "INTERNAL");
  for (const report of reports) {
    const works = report.tokens !== undefined && report.tokens === Math.min(4, report.maxContext! - 1);
    if (!works) expect(typed, JSON.stringify(report)).toContain(report.code);
    expect(report.milliseconds, JSON.stringify(report)).toBeLessThan(2000);
  }
  const opened = reports.filter(({ code }) => code === undefined).length;
  // Both happen, or the mutants would show little.
  expect(Math.min(opened, count - opened)).toBeGreaterThan(count / 20);
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

test("200 mutants of a GGUF file: a typed error, or a model that opens and generates 4 tokens", async () => {
  const models = join(directory, "gguf");
  mkdirSync(models);
  const { metadata, tensors } = ggufModel(SHAPE);
  const plain = ggufBytes({ metadata, tensors });
  // Half have a tokenizer, whose worker reads the file again.
  const withTokenizer = ggufBytes({ metadata: { ...metadata, ...tokenizerMetadata() }, tensors });
  for (let seed = 0; seed < COUNT; seed++) {
    writeFileSync(join(models, `${seed}.gguf`), mutate(seed % 2 === 0 ? withTokenizer : plain, seed));
  }
  expectHarmless(await openAll(models), COUNT);
}, 60_000);

test("200 mutants of a safetensors file, and 50 of its config.json", async () => {
  const models = join(directory, "safetensors");
  const tensors = huggingFaceTensors(SHAPE);
  const data = tensors.map((tensor) => tensor.data!);
  const bytes = safetensorsBytes(safetensorsHeader(tensors), data);
  const config = JSON.stringify(configOf(SHAPE));
  for (let seed = 0; seed < COUNT + 50; seed++) {
    const model = join(models, String(seed));
    mkdirSync(model, { recursive: true });
    writeFileSync(join(model, "model.safetensors"), seed < COUNT ? mutateSafetensors(bytes, seed) : bytes);
    writeFileSync(join(model, "config.json"), seed < COUNT ? config : mutateJson(config, randomIntegers(seed)));
  }
  expectHarmless(await openAll(models), COUNT + 50);
}, 60_000);
