import { expect, test } from "vitest";
import { type ModelShape, TINY } from "../support/models.ts";
import { Random, type WeightType } from "../support/reference.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { withEngine } from "./support/engines.ts";
import { writeQuantizedModel } from "./support/random-models.ts";

/** Matrices so large that a GPU runs its kernels for prompts, and unpacks weights for them. */
const LARGE: ModelShape = {
  ...TINY,
  layers: 1,
  hiddenSize: 512,
  queryHeads: 8,
  kvHeads: 2,
  headSize: 64,
  feedForwardSize: 4096,
  vocabSize: 320,
  contextLength: 2048,
};

test.each<WeightType>(["Q4_K", "Q8_0", "BF16"])("%s: a long prompt has the same logprobs in one step as in many", async (type) => {
  const { path } = await writeQuantizedModel(temporaryDirectory(), type, LARGE, type);
  const random = new Random(1);
  const tokens = Int32Array.from({ length: 1300 }, () => random.int(LARGE.vocabSize));
  const logprobsBy = (maxBatchTokens: number): Promise<unknown> =>
    withEngine(path, { maxBatchTokens }, async (engine) => (await engine.score(tokens)).logprobs);
  const whole = await logprobsBy(2048);
  expect(whole).toHaveLength(1300);
  for (const maxBatchTokens of [700, 90, 7]) expect(await logprobsBy(maxBatchTokens)).toEqual(whole);
});
