import { describe, expect, test } from "vitest";
import type { EngineOptions } from "../../../lib/api/options.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { EXACT, withEngine } from "../support/engines.ts";
import { natsPerToken, talesReference } from "../support/tales.ts";

const VARIANTS: EngineOptions[] = [EXACT, { compute: "bf16", kvType: "bf16" }, { compute: "f32", kvType: "fp8" }];
const CASES = ["tales", "tales-draft"].flatMap((model) => VARIANTS.map((options) => ({ model, options })));

describe.skipIf(!hasShared)("nats per token within 0.1 % of the reference", () => {
  test.each(CASES)("$model, $options.compute, cache $options.kvType", async ({ model, options }) => {
    const { windows, nats_per_token: expected } = talesReference(model).perplexity;
    const nats = await withEngine(sharedPath("models", model), options, (engine) => natsPerToken(engine, model, windows));
    console.log(`${model} ${options.compute}, cache ${options.kvType}: ${nats.toFixed(6)} nats a token (reference ${expected.toFixed(6)})`);
    expect(Math.abs(nats / expected - 1)).toBeLessThan(0.001);
  });
});
