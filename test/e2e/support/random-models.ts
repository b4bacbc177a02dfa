import { join } from "node:path";
import type { EngineOptions } from "../../../lib/api/options.ts";
import { type GgufInput, writeGguf } from "../../support/files.ts";
import { ggufModel, huggingFaceTensors, type ModelShape, TINY } from "../../support/models.ts";
import { BLOCKS, dequantize, fromHalf, Random, randomWeight, roundHalf, SCALES, toHalf, type WeightType } from "../../support/reference.ts";
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
  return layers * kvHeads * headSize * 2 * tokens * (kvType === "f32" ? 4 : kvType === "fp8" ? 1 : 2);
}

/** A mix of all types: matrix i has the i-th that its columns allow. */
const NARROW: readonly WeightType[] = ["Q8_0", "Q4_0", "Q5_0", "F16", "BF16", "Q4_1", "Q5_1", "IQ4_NL", "MXFP4"];
const WIDE: readonly WeightType[] = ["Q4_K", "Q6_K", "Q2_K", "Q3_K", "Q5_K", "IQ4_XS", ...NARROW];

/** Writes NAME.gguf; returns its path, and its weights by their Hugging Face names. */
export async function writeQuantizedModel(
  directory: string,
  name: string,
  shape: ModelShape,
  type?: WeightType,
): Promise<{ path: string; weights: ReferenceWeights }> {
  const path = join(directory, `${name}.gguf`);
  const { input, weights } = quantizedModel(shape, type);
  await writeGguf(path, input);
  return { path, weights };
}

/** A GGUF whose matrices are of one type or of all, and its weights by their Hugging Face names. */
export function quantizedModel(shape: ModelShape, type?: WeightType): { input: GgufInput; weights: ReferenceWeights } {
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
  return { input: { metadata: model.metadata, tensors }, weights };
}

/** Elements of about 1, made smaller where blocks have scales, or by their exponents. */
function scaled(type: WeightType, bytes: Uint8Array, factor: number): Uint8Array {
  const view = new DataView(bytes.buffer);
  const halves = (at: number): void => view.setUint16(at, toHalf(roundHalf(fromHalf(view.getUint16(at, true)) * factor)), true);
  const exponent = Math.round(Math.log2(factor));
  const { bytes: size } = BLOCKS[type];
  for (let at = 0; at < bytes.length; at += size) {
    if (type === "F32") view.setFloat32(at, view.getFloat32(at, true) * factor, true);
    else if (type === "BF16") view.setUint16(at, view.getUint16(at, true) + (exponent << 7), true);
    else if (type === "MXFP4") bytes[at] = bytes[at]! + exponent;
    else for (const place of SCALES[type] ?? [0]) halves(at + place);
  }
  return bytes;
}
