import { cpSync, mkdirSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { isDeepStrictEqual } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import type { GenerateParams } from "../../lib/api/params.ts";
import { Engine } from "../../lib/engine.ts";
import { ERROR_CODES, type ErrorCode, type KvasirError } from "../../lib/errors.ts";
import { expectError } from "../support/expect.ts";
import { fakeEngine } from "../support/fake-engine.ts";
import { ggufBytes, writeGguf, writeJson } from "../support/files.ts";
import { configOf, ggufModel, TINY, writeModel } from "../support/models.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { held, NOTHING, openEngine } from "./support/engines.ts";
import { HUB_FAILURES, openFailing, useFakeHub } from "./support/hub.ts";

const directory = temporaryDirectory();
const at = (name: string): string => join(directory, name);
const root = fileURLToPath(new URL("../../", import.meta.url));
let engine: Engine;
const { hub } = await useFakeHub();

beforeAll(async () => {
  await writeModel(at("model"), TINY);
  engine = await openEngine(at("model"));
});

/** A GGUF file with other metadata and, perhaps, tensors of another type. */
async function openGguf(name: string, metadata: Record<string, string>, type?: string): Promise<Engine> {
  const model = ggufModel(TINY);
  const tensors = type === undefined ? model.tensors : model.tensors.map(({ name: tensor, shape }) => ({ name: tensor, shape, type }));
  await writeGguf(at(name), { metadata: { ...model.metadata, ...metadata }, tensors });
  return Engine.open(at(name));
}

async function openCutShort(): Promise<Engine> {
  const { bytes } = ggufBytes(ggufModel(TINY));
  writeFileSync(at("short.gguf"), bytes.subarray(0, bytes.length - 100));
  return Engine.open(at("short.gguf"));
}

/** A file of 4 TiB with a hole in it for an embedding of 2^24 rows of 2^16: far more than there is memory. */
async function openHuge(): Promise<Engine> {
  const shape = { ...TINY, tied: true, vocabSize: 2 ** 24, hiddenSize: 2 ** 16, layers: 1 };
  mkdirSync(at("huge"));
  await writeJson(join(at("huge"), "config.json"), configOf(shape));
  const header = JSON.stringify(hugeHeader(shape.vocabSize, shape.hiddenSize));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const path = join(at("huge"), "model.safetensors");
  writeFileSync(path, Buffer.concat([length, Buffer.from(header)]));
  truncateSync(path, 8 + header.length + hugeBytes);
  return Engine.open(at("huge"));
}

let hugeBytes = 0;
function hugeHeader(vocabSize: number, hidden: number): Record<string, unknown> {
  const [q, kv, size] = [TINY.queryHeads * TINY.headSize, TINY.kvHeads * TINY.headSize, TINY.feedForwardSize];
  const shapes: Record<string, number[]> = {
    "model.embed_tokens.weight": [vocabSize, hidden],
    "model.norm.weight": [hidden],
    "model.layers.0.input_layernorm.weight": [hidden],
    "model.layers.0.post_attention_layernorm.weight": [hidden],
    "model.layers.0.self_attn.q_proj.weight": [q, hidden],
    "model.layers.0.self_attn.k_proj.weight": [kv, hidden],
    "model.layers.0.self_attn.v_proj.weight": [kv, hidden],
    "model.layers.0.self_attn.o_proj.weight": [hidden, q],
    "model.layers.0.mlp.gate_proj.weight": [size, hidden],
    "model.layers.0.mlp.up_proj.weight": [size, hidden],
    "model.layers.0.mlp.down_proj.weight": [hidden, size],
  };
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const begin = hugeBytes;
    hugeBytes += shape.reduce((product, length) => product * length, 4);
    return [name, { dtype: "F32", shape, data_offsets: [begin, hugeBytes] }];
  });
  return Object.fromEntries(entries);
}

/** The built library without the addon beside it. */
async function loadWithoutAddon(): Promise<unknown> {
  cpSync(join(root, "dist"), at("installed/dist"), { recursive: true });
  for (const folder of ["lib", "node_modules"]) symlinkSync(join(root, folder), at(`installed/${folder}`));
  writeFileSync(at("installed/package.json"), '{ "name": "kvasir", "type": "module" }');
  const library = (await import(/* @vite-ignore */ pathToFileURL(at("installed/dist/index.js")).href)) as { Engine: typeof Engine };
  return library.Engine.open(at("model"));
}

async function generateAfterClose(): Promise<unknown> {
  const closed = await Engine.open(at("model"));
  await closed.close();
  return closed.generate([1]);
}

async function generateWhileStepsFail(): Promise<unknown> {
  const fake = fakeEngine();
  fake.native.failing = () => new Error("a defect");
  return fake.engine.generate([1]);
}

async function renderWithout(): Promise<unknown> {
  return fakeEngine().engine.generate({ messages: [{ role: "user", content: "hi" }] });
}

async function renderFailing(): Promise<unknown> {
  const metadata = { ...ggufModel(TINY).metadata, ...tokenizer, "tokenizer.chat_template": "{{ raise_exception('no') }}" };
  await writeGguf(at("template.gguf"), { metadata, tensors: ggufModel(TINY).tensors });
  return (await openEngine(at("template.gguf"))).generate({ messages: [{ role: "user", content: "hi" }] });
}

const pieces = Array.from({ length: TINY.vocabSize }, (_, id) => (id < 3 ? `<${id}>` : String.fromCharCode(62 + id)));
const tokenizer = {
  "tokenizer.ggml.model": "gpt2",
  "tokenizer.ggml.pre": "gpt-2",
  "tokenizer.ggml.tokens": pieces,
  "tokenizer.ggml.merges": ["A B"],
};

/** The vocabulary has no token for these bytes. */
async function encodeWithoutToken(): Promise<unknown> {
  await writeGguf(at("pieces.gguf"), { metadata: { ...ggufModel(TINY).metadata, ...tokenizer }, tensors: ggufModel(TINY).tensors });
  return (await openEngine(at("pieces.gguf"))).generate("é");
}

/** What provokes each code, from outside where it can be: INTERNAL takes a defect. */
const PROVOKED: Record<ErrorCode, () => Promise<unknown>> = {
  INVALID_ARGUMENT: () => engine.generate([1], { temperature: Number.NaN }),
  FILE_NOT_FOUND: () => Engine.open(at("nowhere")),
  MODEL_NOT_FOUND: () => openFailing(hub, HUB_FAILURES.MODEL_NOT_FOUND),
  ACCESS_DENIED: () => openFailing(hub, HUB_FAILURES.ACCESS_DENIED),
  OFFLINE: () => openFailing(hub, HUB_FAILURES.OFFLINE),
  DOWNLOAD_FAILED: () => openFailing(hub, HUB_FAILURES.DOWNLOAD_FAILED),
  CHECKSUM_MISMATCH: () => openFailing(hub, HUB_FAILURES.CHECKSUM_MISMATCH),
  DISK_FULL: () => openFailing(hub, HUB_FAILURES.DISK_FULL),
  CACHE_FAILED: () => openFailing(hub, HUB_FAILURES.CACHE_FAILED),
  FILE_INVALID: openCutShort,
  UNSUPPORTED_FORMAT: () => openGguf("format.gguf", {}, "I8"),
  UNSUPPORTED_MODEL: () => openGguf("mamba.gguf", { "general.architecture": "mamba" }),
  UNSUPPORTED_TOKENIZER: () => openGguf("tokenizer.gguf", { "tokenizer.ggml.model": "an-unknown-one" }),
  NO_TOKENIZER: () => engine.generate("text"),
  NO_CHAT_TEMPLATE: renderWithout,
  TOKENIZER_FAILED: encodeWithoutToken,
  TEMPLATE_FAILED: renderFailing,
  PROMPT_TOO_LONG: () => engine.generate(new Int32Array(TINY.contextLength)),
  PROMPT_EMPTY: () => engine.generate([]),
  PROCESSOR_FAILED: () => engine.generate([1], { logitsProcessor: () => new Float32Array(1) }),
  OUT_OF_MEMORY: openHuge,
  UNSUPPORTED_DEVICE: () => Engine.open(at("model"), { device: "cuda:99" }),
  ADDON_MISSING: loadWithoutAddon,
  CLOSED: generateAfterClose,
  INTERNAL: generateWhileStepsFail,
};

describe("each code of the documented list", () => {
  // A system that promises any amount of memory would have the file read.
  const promises = readFileSync("/proc/sys/vm/overcommit_memory", "utf8").trim() === "1";
  test.each(ERROR_CODES.filter((code) => code !== "OUT_OF_MEMORY" || !promises))("%s", async (code) => {
    const error = await PROVOKED[code]().then(
      () => undefined,
      (reason: KvasirError) => reason,
    );
    expect(`${error?.name} ${error?.code}: ${error?.message}`).toMatch(new RegExp(`^KvasirError ${code}: `));
    expect(held(engine)).toEqual(NOTHING);
  });
});

test("a GPU that is not there is named, and what is", async () => {
  await expect(PROVOKED.UNSUPPORTED_DEVICE()).rejects.toThrow(/^device is "?cuda:99"?\b.*; expected .*\bcpu\b/);
});

/** Values that are never right, or only for some parameters. */
const ABSURD: readonly unknown[] = [
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -1,
  2 ** 53,
  1e300,
  0.5,
  "1",
  {},
  [[]],
  true,
  null,
  () => 1,
  -0.5,
  10n,
];

/** Every parameter, with values of {@link ABSURD} that it takes. */
const PARAMETERS: Record<keyof GenerateParams, readonly unknown[]> = {
  temperature: [0.5],
  topK: [],
  topP: [0.5],
  minP: [0.5],
  typicalP: [0.5],
  repetitionPenalty: [0.5],
  presencePenalty: [0.5, -1, -0.5],
  frequencyPenalty: [0.5, -1, -0.5],
  logitBias: [{}],
  seed: [10n],
  minTokens: [],
  maxTokens: [],
  ignoreEos: [true],
  stop: ["1"],
  stopTokens: [],
  n: [],
  logprobs: [true],
  logitsProcessor: [],
  priority: [-1],
  cacheSalt: ["1"],
  parseSpecial: [true],
  speculate: [true],
  signal: [],
};

test.each(Object.entries(PARAMETERS))("absurd values of %s are refused by its name, and cost nobody else anything", async (name, right) => {
  const other = engine.generate([1, 2], { temperature: 0, maxTokens: 20, ignoreEos: true });
  for (const value of ABSURD) {
    if (right.some((good) => isDeepStrictEqual(good, value)) || skips(name, value)) continue;
    const call = engine.generate([1, 2], { maxTokens: 4, [name]: value } as GenerateParams);
    await expectError(call, "INVALID_ARGUMENT", new RegExp(name));
  }
  expect((await other).tokens).toHaveLength(20);
  expect(held(engine)).toEqual(NOTHING);
});

function skips(name: string, value: unknown): boolean {
  return (name === "logitsProcessor" && typeof value === "function") || (name === "stopTokens" && Array.isArray(value));
}

test("promises that callbacks return and nobody waits for may be rejected", async () => {
  const mine = new Error("mine");
  const rejected = (): never => Promise.reject(mine) as never;
  await expectError(engine.generate([5, 6, 7], { logitsProcessor: rejected }), "PROCESSOR_FAILED", "logitsProcessor returned");
  await expect(Engine.open("tales", { onProgress: rejected })).rejects.toBe(mine);
});

test("a failing request costs those beside it nothing", async () => {
  const params: GenerateParams = { temperature: 0, maxTokens: 30, ignoreEos: true };
  const alone = (await engine.generate([5, 6, 7], params)).tokens;
  const failing = (): never => {
    throw new Error("a processor's");
  };
  const [a, failed, tooLong, b] = await Promise.allSettled([
    engine.generate([5, 6, 7], params),
    engine.generate([5, 6, 7], { ...params, logitsProcessor: failing }),
    engine.generate(new Int32Array(1000)),
    engine.generate([5, 6, 7], params),
  ]);
  expect([failed, tooLong]).toMatchObject([{ reason: { code: "PROCESSOR_FAILED" } }, { reason: { code: "PROMPT_TOO_LONG" } }]);
  expect([a, b]).toMatchObject([{ value: { tokens: alone } }, { value: { tokens: alone } }]);
  expect(held(engine)).toEqual(NOTHING);
});

test("alternatives that a small vocabulary lacks are left out, with a processor, too", async () => {
  await writeModel(at("small"), { ...TINY, vocabSize: 8 });
  const small = await openEngine(at("small"));
  const params: GenerateParams = { maxTokens: 3, logprobs: 20, ignoreEos: true, seed: 1 };
  const plain = await small.generate([1, 3], params);
  const processed = await small.generate([1, 3], { ...params, logitsProcessor: (logits) => logits });
  expect(processed.logprobs).toEqual(plain.logprobs);
  for (const { top } of plain.logprobs!) expect(top.map(({ token }) => token).sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});
