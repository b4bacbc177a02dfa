import { join } from "node:path";
import type { EngineOptions } from "../../../lib/api/options.ts";
import { writeGguf } from "../../support/files.ts";
import { ggufModel, huggingFaceTensors, type ModelShape, TINY } from "../../support/models.ts";
import { dequantize, fromHalf, Random, randomWeight, roundHalf, toHalf, type WeightType } from "../../support/reference.ts";
import type { ReferenceWeights } from "../../support/reference-model.ts";

/** Random models with quantized weights, as GGUF files without a tokenizer. */

/** Layers that see all; matrices of 64 columns in blocks of 32, and of 256 in K-quants' blocks. */
export const LLAMA: ModelShape = { ...TINY, headSize: 16, hiddenSize: 64, feedForwardSize: 256, vocabSize: 320, contextLength: 256 };

/** Layers that see 24 tokens, one that sees all; tied embeddings. */
export const GEMMA3: ModelShape = { ...LLAMA, architecture: "gemma3", layers: 6, window: 24, tied: true };

/** The trained model's sizes, for {@link cacheFor}. */
export const TALES: ModelShape = { ...TINY, vocabSize: 8192, layers: 12, kvHeads: 2, headSize: 64 };

/** Bytes of the KV cache of `tokens` tokens that all layers see. */
export function cacheFor({ layers, kvHeads, headSize }: ModelShape, tokens: number, { kvType }: EngineOptions): number {
  return layers * kvHeads * headSize * 2 * tokens * (kvType === "f32" ? 4 : 2);
}

/** Float16 numbers of a block that scale its elements: their byte offsets. */
const SCALES: Partial<Record<WeightType, number[]>> = { Q8_0: [0], Q4_0: [0], Q5_0: [0], Q4_K: [0, 2], Q6_K: [208] };
const BLOCK_BYTES: Partial<Record<WeightType, number>> = { Q8_0: 34, Q4_0: 18, Q5_0: 22, Q4_K: 144, Q6_K: 210 };

/** A mix of all types: matrix i has the i-th that its columns allow. */
const NARROW: readonly WeightType[] = ["Q8_0", "Q4_0", "Q5_0", "F16", "BF16"];
const WIDE: readonly WeightType[] = ["Q4_K", "Q6_K", ...NARROW];

/** Writes NAME.gguf; returns its path, and its weights by their Hugging Face names. */
export async function writeQuantizedModel(
  directory: string,
  name: string,
  shape: ModelShape,
  type?: WeightType,
): Promise<{ path: string; weights: ReferenceWeights }> {
  const path = join(directory, `${name}.gguf`);
  const model = ggufModel(shape);
  const names = huggingFaceTensors(shape).map((tensor) => tensor.name);
  const random = new Random(shape.vocabSize);
  const weights = new Map<string, ArrayLike<number>>();
  const tensors = model.tensors.map((tensor, i) => {
    const [rows, columns] = tensor.shape;
    if (columns === undefined) {
      weights.set(names[i]!, dequantize("F32", tensor.data!));
      return tensor;
    }
    const types = columns % 256 === 0 ? WIDE : NARROW;
    const chosen = type ?? types[i % types.length]!;
    const data = scaled(chosen, randomWeight(chosen, rows!, columns, random), columns ** -0.5);
    weights.set(names[i]!, dequantize(chosen, data));
    return { ...tensor, type: chosen, data };
  });
  await writeGguf(path, { metadata: model.metadata, tensors });
  return { path, weights };
}

/** Elements of about 1, made smaller where blocks have scales, or by their exponents. */
function scaled(type: WeightType, bytes: Uint8Array, factor: number): Uint8Array {
  const view = new DataView(bytes.buffer);
  const halves = (at: number): void => view.setUint16(at, toHalf(roundHalf(fromHalf(view.getUint16(at, true)) * factor)), true);
  const exponent = Math.round(Math.log2(factor)) << 7;
  const size = BLOCK_BYTES[type];
  if (size !== undefined) {
    for (let at = 0; at < bytes.length; at += size) for (const place of SCALES[type]!) halves(at + place);
  } else if (type === "BF16") for (let at = 0; at < bytes.length; at += 2) view.setUint16(at, view.getUint16(at, true) + exponent, true);
  else if (type === "F16") for (let at = 0; at < bytes.length; at += 2) halves(at);
  else if (type === "F32") for (let at = 0; at < bytes.length; at += 4) view.setFloat32(at, view.getFloat32(at, true) * factor, true);
  return bytes;
}
