import { beforeAll, describe, expect, test } from "vitest";
import type { EngineOptions } from "../../lib/api/options.ts";
import { hasShared, sharedPath } from "../support/shared.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { ISAS, withEngine } from "./support/engines.ts";
import { runMix, writeMixModels } from "./support/mixes.ts";
import { cacheFor, GEMMA3, LLAMA, TALES, writeQuantizedModel } from "./support/random-models.ts";
import { ARITHMETICS, expectSame, randomRequests, together } from "./support/same.ts";

const directory = temporaryDirectory();

describe.each(Object.entries({ LLAMA, GEMMA3 }))("the same tokens and logprobs, as bits: %s", (name, shape) => {
  let model: string;
  beforeAll(async () => {
    model = (await writeQuantizedModel(directory, name, shape)).path;
  });

  // avx512_bf16 is avx512 but for bf16.
  const variants = ISAS.flatMap((isa) => ARITHMETICS.map((options) => ({ isa, ...options })));
  test.each(variants.filter(({ isa, compute }) => isa !== "avx512_bf16" || compute === "bf16"))("$isa, $compute", async (options) => {
    await expectSame(model, randomRequests(32, shape.vocabSize, 60, 1), cacheFor(shape, 160, options), options);
  });
});

// On a GPU these heads are the tensor cores', in one kernel for few tokens and in another for many.
test.each([
  ["LLAMA", 80, "f16"],
  ["LLAMA", 96, "bf16"],
  ["LLAMA", 160, "f16"],
  ["GEMMA3", 256, "bf16"],
  ["LLAMA", 128, "fp8"],
  ["GEMMA3", 80, "fp8"],
] as const)("the same tokens and logprobs, as bits: %s with heads of %d, %s", async (name, headSize, kvType) => {
  const shape = { ...{ LLAMA, GEMMA3 }[name], headSize };
  const { path } = await writeQuantizedModel(directory, `heads-${headSize}`, shape);
  const options: EngineOptions = { compute: "bf16", kvType };
  await expectSame(path, randomRequests(12, shape.vocabSize, 60, headSize), cacheFor(shape, 160, options), options);
});

// On a GPU a warp turns several of a token's heads where a step has 256 tokens, here six of q, k and v.
test("the same tokens and logprobs, as bits: long prompts in long and in short steps", async () => {
  const shape = { ...LLAMA, queryHeads: 4, kvHeads: 1, contextLength: 1024 };
  const { path } = await writeQuantizedModel(directory, "six-heads", shape);
  const requests = randomRequests(8, shape.vocabSize, 500, 5);
  const run = (maxBatchTokens: number) => withEngine(path, { compute: "bf16", maxBatchTokens }, (engine) => together(engine, requests));
  expect(await run(512)).toEqual(await run(100));
});

test.skipIf(!hasShared)("the same tokens and logprobs, as bits: tales", async () => {
  const options = ARITHMETICS[2]!;
  const model = sharedPath("models", "tales/tales-q4_k_m.gguf");
  await expectSame(model, randomRequests(8, TALES.vocabSize, 40, 2), cacheFor(TALES, 112, options), options);
});

/** A fixture of each kind of attention, and of what else is in no model above. */
const KINDS = {
  "full, biases": "qwen2",
  "windows from some layer on": "qwen2-swa",
  "windows and full layers, which turn otherwise": "olmo3",
  "windows and full layers that don't turn, halves side by side": "cohere2",
  "a part of each head turns": "glm4",
  longrope: "phi3-longrope/model.gguf",
  "soft caps": "gemma2",
  "learned positions": "gpt2",
  "queries that grow": "ministral3",
};

test.skipIf(!hasShared).each(Object.entries(KINDS))("the same tokens and logprobs, as bits: %s", async (name, path) => {
  const model = sharedPath("fixtures", path);
  const options = ARITHMETICS[name.length % 3]!;
  const pageBytes = await withEngine(model, options, async (engine) =>
    engine.stats().groups.reduce((sum, group) => sum + group.pageBytes, 0),
  );
  await expectSame(model, randomRequests(12, 320, 60, name.length), 8 * pageBytes, options);
});

test("random mixes: a slice of those of full/", async () => {
  const models = await writeMixModels(directory);
  for (let seed = 0; seed < 12; seed++) await runMix(models, seed);
});
