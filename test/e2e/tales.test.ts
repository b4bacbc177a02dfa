import { beforeAll, describe, expect, test } from "vitest";
import type { EngineOptions } from "../../lib/api/options.ts";
import type { Engine } from "../../lib/engine.ts";
import { hasShared, sharedPath } from "../support/shared.ts";
import { EXACT, openEngine } from "./support/engines.ts";
import { argmax, decidedTokens, LOGIT_BOUND, readReferences, relativeError } from "./support/references.ts";
import { natsPerToken, talesReference } from "./support/tales.ts";

/** Margins above which the arithmetic may not change what is the largest logit. */
const VARIANTS: { name: string; options: EngineOptions; margin: number }[] = [
  { name: "f32", options: EXACT, margin: 1e-3 },
  { name: "bf16", options: { compute: "bf16", kvType: "bf16" }, margin: 0.15 },
];

const CASES = ["tales", "tales-draft"].flatMap((model) => VARIANTS.map(({ name, ...variant }) => ({ model, name, ...variant })));

describe.skipIf(!hasShared).each(CASES)("$model, $name", ({ model, name, options, margin }) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine(sharedPath("models", model), options);
  });

  test("fed the reference text, the largest logit is the reference's at all decided places", async () => {
    for (const { ids, greedy, margins } of talesReference(model).prompts) {
      const { logits } = await engine.score([...ids, ...greedy], { logits: true });
      const vocabSize = logits!.length / (ids.length + greedy.length);
      const found = margins.map((_, i) => argmax(logits!.subarray((ids.length + i - 1) * vocabSize, (ids.length + i) * vocabSize)));
      const decided = (tokens: number[]): number[] => tokens.map((token, i) => (margins[i]! > margin ? token : -1));
      expect(decided(found)).toEqual(decided(greedy));
    }
  });

  test("free-running greedy text is the reference's up to the first undecided place", async () => {
    const { prompts } = talesReference(model);
    const completions = await Promise.all(
      prompts.map(({ ids }) => engine.generate(ids, { temperature: 0, maxTokens: 64, ignoreEos: true })),
    );
    for (const [i, { ids, prompt, greedy, margins }] of prompts.entries()) {
      const decided = decidedTokens(margins, margin);
      expect(completions[i]!.tokens.slice(0, decided)).toEqual(greedy.slice(0, decided));
      expect(completions[i]!.tokens).toHaveLength(64);
      expect([...(await engine.tokenize(prompt))]).toEqual(ids);
    }
  });

  test("the prompts' logits are the reference's", async () => {
    const bound = name === "f32" ? LOGIT_BOUND : 0.05;
    const references = readReferences("models", model, "reference.safetensors");
    for (const [i, { ids }] of talesReference(model).prompts.entries()) {
      const { logits } = await engine.score(ids, { logits: true });
      expect(relativeError(logits!, references[`logits_${i}`]!.data)).toBeLessThan(bound);
    }
  });
});

// The larger model's takes longer: it is in full/.
test.skipIf(!hasShared).each(VARIANTS)("tales-draft, $name: nats per token within 0.1 % of the reference", async ({ options }) => {
  const { windows, nats_per_token: expected } = talesReference("tales-draft").perplexity;
  const engine = await openEngine(sharedPath("models", "tales-draft"), options);
  expect(Math.abs((await natsPerToken(engine, "tales-draft", windows)) / expected - 1)).toBeLessThan(0.001);
});
