import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { EngineOptions } from "../../lib/api/options.ts";
import { huggingFaceTensors, isGemma, type ModelShape, TINY, writeModel } from "../support/models.ts";
import { GGUF_TYPES, Random } from "../support/reference.ts";
import { type ReferenceForm, type ReferenceWeights, referenceLogits } from "../support/reference-model.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { EXACT, ISAS, withEngine } from "./support/engines.ts";
import { GEMMA3, writeQuantizedModel } from "./support/random-models.ts";
import { LOGIT_BOUND, relativeError } from "./support/references.ts";

/** Sizes that no vector, tile or page divides, and those of real models' heads. */
const SHAPES: Record<string, ModelShape> = {
  "llama, heads of 8": TINY,
  "llama, heads of 10, odd sizes, biases": {
    ...{ ...TINY, headSize: 10, queryHeads: 3, kvHeads: 1, hiddenSize: 37, feedForwardSize: 51, vocabSize: 61, bias: true },
  },
  "llama, heads of 64, none shared, tied": { ...TINY, headSize: 64, queryHeads: 2, kvHeads: 2, hiddenSize: 96, tied: true },
  "llama, heads of 80": { ...TINY, headSize: 80, queryHeads: 5, kvHeads: 1, hiddenSize: 130, vocabSize: 257 },
  "llama, heads of 96, one layer": { ...TINY, headSize: 96, queryHeads: 6, kvHeads: 3, layers: 1, vocabSize: 33 },
  "llama, heads of 160, many of a group": { ...TINY, headSize: 160, queryHeads: 7, kvHeads: 1, hiddenSize: 44, layers: 1 },
  "llama, heads of 2": { ...TINY, headSize: 2, queryHeads: 7, kvHeads: 7, hiddenSize: 14, feedForwardSize: 9, vocabSize: 11 },
  "qwen3, heads of 128": { ...TINY, architecture: "qwen3", headSize: 128, queryHeads: 4, kvHeads: 2, hiddenSize: 72, vocabSize: 99 },
  "qwen3, heads of 6, odd sizes": {
    ...{ ...TINY, architecture: "qwen3", headSize: 6, queryHeads: 9, kvHeads: 3, hiddenSize: 45, feedForwardSize: 77, tied: true },
  },
  "gemma3, a window smaller than a page": { ...TINY, architecture: "gemma3", layers: 7, window: 5, vocabSize: 53 },
  "gemma3, a window of 1": { ...TINY, architecture: "gemma3", layers: 6, window: 1, tied: true },
  "gemma3, heads of 256, a window that ends within a page": {
    ...{ ...TINY, architecture: "gemma3", layers: 6, window: 23, headSize: 256, queryHeads: 2, kvHeads: 1, hiddenSize: 41, tied: true },
  },
  "gemma2, heads of 256, capped scores": {
    ...{ ...TINY, architecture: "gemma2", window: 40, headSize: 256, queryHeads: 4, kvHeads: 2, hiddenSize: 90, tied: true },
  },
  "gemma2, heads of 80, a cap that is far": { ...TINY, architecture: "gemma2", softcap: 50, headSize: 80, tied: true },
};

const directory = temporaryDirectory();

/** Matrices of 256 columns, which all types of weights can have, and odd numbers of rows. */
const QUANTIZED: ModelShape = { ...TINY, hiddenSize: 256, feedForwardSize: 256, headSize: 64, kvHeads: 1, layers: 1, vocabSize: 97 };

/** The engine's logits, in steps that cut the text anywhere, on every instruction set. */
async function expectReference(
  path: string,
  shape: ModelShape,
  weights: ReferenceWeights,
  form: ReferenceForm,
  arithmetic: EngineOptions = EXACT,
  bound: number = LOGIT_BOUND / 10,
): Promise<void> {
  const random = new Random(shape.hiddenSize);
  const tokens = Int32Array.from({ length: 70 }, () => random.int(shape.vocabSize));
  const expected = referenceLogits(shape, weights, tokens, form);
  for (const isa of ISAS) {
    const { logits } = await withEngine(path, { ...arithmetic, isa, maxBatchTokens: 29 }, (engine) =>
      engine.score(tokens, { logits: true }),
    );
    expect(relativeError(logits!, expected)).toBeLessThan(bound);
  }
}

describe("other shapes of the same architectures, against float64", () => {
  test.each(Object.entries(SHAPES))("%s", async (name, shape) => {
    const model = join(directory, name.replaceAll(/\W+/g, "-"));
    await writeModel(model, shape);
    const weights = new Map(huggingFaceTensors(shape).map((tensor) => [tensor.name, floats(tensor.data!)]));
    const form = { normsPlusOne: isGemma(shape.architecture), neighbours: false };
    await expectReference(model, shape, weights, form);
    // What a GPU's tensor cores take: a rounding of 2^-9 for each activation, query and weight of a softmax.
    for (const kvType of ["f16", "bf16"] as const) await expectReference(model, shape, weights, form, { compute: "bf16", kvType }, 0.05);
    // E4M3 makes steps of up to 2^-3 of what another arithmetic rounds to the other side.
    for (const [compute, bound] of [
      ["f32", 0.02],
      ["bf16", 0.25],
    ] as const) {
      await expectReference(model, shape, weights, { ...form, cache: "F8_E4M3" }, { compute, kvType: "fp8" }, bound);
    }
  });
});

describe("weights of every type in GGUF, against float64", () => {
  test.each(GGUF_TYPES)("llama, %s", async (type) => {
    const { path, weights } = await writeQuantizedModel(directory, type, QUANTIZED, type);
    await expectReference(path, QUANTIZED, weights, { normsPlusOne: false, neighbours: true });
  });

  test("gemma3, all types in one file", async () => {
    const { path, weights } = await writeQuantizedModel(directory, "mixed", GEMMA3);
    await expectReference(path, GEMMA3, weights, { normsPlusOne: false, neighbours: false });
  });
});

function floats(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
}
