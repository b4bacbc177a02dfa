import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { EngineOptions } from "../../../lib/api/options.ts";
import { evaluate } from "../../../lib/cli/eval.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { EXACT, withEngine } from "../support/engines.ts";

/** Float32 arithmetic on the exactly dequantized weights. */
const PERPLEXITIES = { "tales-q8_0": 23.9242, "tales-q4_k_m": 24.1836, "tales-q4_0": 25.0233 };

/** How far off each arithmetic may be. */
const VARIANTS: { name: string; options: EngineOptions; bound: number }[] = [
  { name: "f32", options: EXACT, bound: 0.0005 },
  { name: "auto", options: {}, bound: 0.002 },
];

describe.skipIf(!hasShared).each(VARIANTS)("perplexity of eval.txt, compute $name", ({ name, options, bound }) => {
  test.each(Object.entries(PERPLEXITIES))("%s", async (file, exact) => {
    const text = readFileSync(sharedPath("models", "tales", "eval.txt"), "utf8");
    const { perplexity } = await withEngine(sharedPath("models", "tales", `${file}.gguf`), options, (engine) => evaluate(engine, text));
    console.log(`${file} ${name}: ${perplexity.toFixed(4)} (exact ${exact})`);
    expect(Math.abs(perplexity / exact - 1)).toBeLessThan(bound);
  });
});
