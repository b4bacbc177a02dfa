import { beforeAll, describe, test } from "vitest";
import { hasShared, sharedPath } from "../support/shared.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { ISAS } from "./support/engines.ts";
import { runMix, writeMixModels } from "./support/mixes.ts";
import { cacheFor, GEMMA3, LLAMA, TALES, writeQuantizedModel } from "./support/random-models.ts";
import { ARITHMETICS, expectSame, randomRequests } from "./support/same.ts";

const directory = temporaryDirectory();

describe.each(Object.entries({ LLAMA, GEMMA3 }))("the same tokens and logprobs, as bits: %s", (name, shape) => {
  let model: string;
  beforeAll(async () => {
    model = (await writeQuantizedModel(directory, name, shape)).path;
  });

  test.each(ISAS.flatMap((isa) => ARITHMETICS.map((options) => ({ isa, ...options }))))("$isa, $compute", async (options) => {
    await expectSame(model, randomRequests(32, shape.vocabSize, 60, 1), cacheFor(shape, 160, options), options);
  });
});

test.skipIf(!hasShared)("the same tokens and logprobs, as bits: tales", async () => {
  const options = ARITHMETICS[2]!;
  const model = sharedPath("models", "tales/tales-q4_k_m.gguf");
  await expectSame(model, randomRequests(8, TALES.vocabSize, 40, 2), cacheFor(TALES, 112, options), options);
});

test("random mixes: a slice of those of full/", async () => {
  const models = await writeMixModels(directory);
  for (let seed = 0; seed < 12; seed++) await runMix(models, seed);
});
