import { describe, expect, test } from "vitest";
import type { Engine } from "../../lib/engine.ts";
import { hasShared } from "../support/shared.ts";
import { withEngine } from "./support/engines.ts";
import { ARITHMETICS } from "./support/same.ts";
import { DRAFT, expectTalesLaw, TARGET, talesRequests } from "./support/speculate-tales.ts";
import { talesReference } from "./support/tales.ts";

/** The trained pair; with all prompts and arithmetics in full/. */
describe.skipIf(!hasShared)("tales and tales-draft", () => {
  test("the same tokens and logprobs, as bits: the reference prompts and a few more", async () => {
    const requests = await talesRequests(3);
    await expectTalesLaw(requests, { draft: DRAFT, lookup: true }, ARITHMETICS[2]!);
  }, 120_000);

  test.each([0, 0.7])("at temperature %f half of the drafted tokens are right", async (temperature) => {
    const rate = async (engine: Engine): Promise<number> => {
      const { prompts } = talesReference("tales");
      const seeds = Array.from({ length: temperature === 0 ? 1 : 20 }, (_, seed) => seed);
      const params = { temperature, maxTokens: 100, ignoreEos: true };
      await Promise.all(prompts.flatMap(({ ids }) => seeds.map((seed) => engine.generate(ids, { ...params, seed }))));
      return engine.stats().acceptanceRate;
    };
    const found = await withEngine(TARGET, { speculate: { draft: DRAFT, tokens: 1 } }, rate, { always: true });
    console.log(`temperature ${temperature}: ${found.toFixed(3)} of one token each`);
    expect(found).toBeGreaterThan(0.5);
  });
});
