import { describe, test } from "vitest";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { ISAS } from "../support/engines.ts";
import { cacheFor, TALES } from "../support/random-models.ts";
import { ARITHMETICS, expectSame, randomRequests } from "../support/same.ts";

describe.skipIf(!hasShared).each(["tales", "tales/tales-q4_k_m.gguf"])("the same tokens and logprobs, as bits: %s", (model) => {
  test.each(ISAS.flatMap((isa) => ARITHMETICS.map((options) => ({ isa, ...options }))))("$isa, $compute", async (options) => {
    await expectSame(sharedPath("models", model), randomRequests(8, TALES.vocabSize, 60, 3), cacheFor(TALES, 128, options), options);
  });
});
