import { describe, expect, test } from "vitest";
import { hasShared, sharedPath } from "../support/shared.ts";
import { EXACT, ISAS, withEngine } from "./support/engines.ts";
import { LOGIT_BOUND, readReferences, relativeError, rowsOf } from "./support/references.ts";

const TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q5_0", "Q4_K", "Q6_K"] as const;

describe.skipIf(!hasShared).each(ISAS)("exactly dequantized weights, %s", (isa) => {
  test.each(TYPES)("%s", async (type) => {
    const references = readReferences("quants", "reference.safetensors");
    const logits = references[`logits_${type}`]!;
    const expected = rowsOf(logits, logits.shape[1]! * logits.shape[2]!);
    await withEngine(sharedPath("quants", `${type}.gguf`), { ...EXACT, isa }, async (engine) => {
      for (const [i, prompt] of rowsOf(references.input_ids!).entries()) {
        const scored = await engine.score(prompt as Int32Array, { logits: true });
        expect(relativeError(scored.logits!, expected[i]!)).toBeLessThan(LOGIT_BOUND);
      }
    });
  });
});
