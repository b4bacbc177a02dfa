import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { bytesOfWeights } from "../../lib/model/manifest.ts";
import { openModel } from "../../lib/model/open.ts";
import { hasShared, sharedPath } from "../support/shared.ts";
import { EXACT, ISAS, withEngine } from "./support/engines.ts";
import { LOGIT_BOUND, readReferences, relativeError, rowsOf } from "./support/references.ts";

/** One small model in each type, quantized by llama.cpp; MXFP4 is held to its definition in shapes.test.ts. */
const TYPES = hasShared
  ? readdirSync(sharedPath("quants")).flatMap((file) => (file.endsWith(".gguf") ? [file.slice(0, -5)] : []))
  : ["(../shared is absent)"];

/** Activations in 8 bits, and a cache in float16: errors stay below the tenth part of the logits' spread. */
const AUTO_BOUND = 0.1;

/** The largest error of the logits of a type's model. */
async function errorOf(type: string, options: Parameters<typeof withEngine>[1]): Promise<number> {
  const references = readReferences("quants", "reference.safetensors");
  const logits = references[`logits_${type}`]!;
  const expected = rowsOf(logits, logits.shape[1]! * logits.shape[2]!);
  return withEngine(sharedPath("quants", `${type}.gguf`), options, async (engine) => {
    const errors: number[] = [];
    for (const [i, prompt] of rowsOf(references.input_ids!).entries()) {
      const scored = await engine.score(prompt as Int32Array, { logits: true });
      errors.push(relativeError(scored.logits!, expected[i]!));
    }
    return Math.max(...errors);
  });
}

describe.skipIf(!hasShared)("weights of every type that llama.cpp writes", () => {
  test("are all there", () => expect(TYPES).toHaveLength(15));

  describe.each(ISAS)("exactly dequantized, %s", (isa) => {
    test.each(TYPES)("%s", async (type) => {
      expect(await errorOf(type, { ...EXACT, isa })).toBeLessThan(LOGIT_BOUND);
    });
  });

  test.each([EXACT, {}])("repacked with %j, they take what memory is reckoned with", async (options) => {
    for (const type of TYPES) {
      const path = sharedPath("quants", `${type}.gguf`);
      const reckoned = bytesOfWeights(await openModel(path), process.env.KVASIR_TEST_DEVICE === "cuda" ? "cuda" : "cpu");
      const repacked = await withEngine(path, options, async (engine) => engine.stats().weightBytes);
      expect(repacked / reckoned, type).toBeLessThan(1.01);
    }
  });

  test("with compute auto: errors of activations in 8 bits", async () => {
    const errors = new Map<string, number>();
    for (const type of TYPES) errors.set(type, await errorOf(type, {}));
    const report = [...errors].map(([type, error]) => `${type} ${error.toExponential(1)}`).join(", ");
    console.info(`compute auto, largest errors of a logit in standard deviations: ${report}`);
    expect(Math.max(...errors.values()), report).toBeLessThan(AUTO_BOUND);
  });
});
