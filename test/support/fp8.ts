import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { encodeFloats, type TensorInput, writeJson, writeSafetensors } from "./files.ts";
import { configOf, huggingFaceTensors, type ModelShape } from "./models.ts";
import { e4m3 } from "./reference.ts";

/** Hugging Face directories whose matrices are in F8_E4M3, as each program writes them; and the same model in other types. */

/** How a program writes weights in F8_E4M3. */
export interface Fp8Dialect {
  settings: Record<string, unknown>;
  /** What a matrix's name ends with where its scales are. */
  suffix: "_scale" | "_scale_inv";
  scaleType: "F32" | "F16" | "BF16";
  /** Rows and columns that share a scale. */
  block: (rows: number, columns: number) => [number, number];
  /** The shape of a grid of scales. */
  shape: (rows: number, columns: number) => number[];
  /** Ends of names of scales that nobody asks for. */
  unused?: string[];
}

const group = (weights: object, activations: object) => ({
  quant_method: "compressed-tensors",
  format: "float-quantized",
  quantization_status: "compressed",
  ignore: ["lm_head"],
  kv_cache_scheme: null,
  sparsity_config: {},
  transform_config: {},
  config_groups: {
    group_0: {
      targets: ["Linear"],
      weights: { num_bits: 8, type: "float", symmetric: true, dynamic: false, group_size: null, ...weights },
      input_activations: { num_bits: 8, type: "float", ...activations },
      output_activations: null,
    },
  },
});

const fine = { quant_method: "fp8", fmt: "e4m3", activation_scheme: "dynamic", weight_block_size: [128, 128] };
const grid = (rows: number, columns: number): number[] => [rows, columns];
const whole = (rows: number, columns: number): [number, number] => [rows, columns];
const square = (): [number, number] => [128, 128];

export const FP8_DIALECTS: Readonly<Record<string, Fp8Dialect>> = {
  "fp8, blocks with scales in BF16": { settings: fine, suffix: "_scale_inv", scaleType: "BF16", block: square, shape: grid },
  "fp8, blocks with scales in F32": {
    settings: { ...fine, modules_to_not_convert: ["lm_head"], scale_fmt: "ue8m0" },
    ...{ suffix: "_scale_inv", scaleType: "F32", block: square, shape: grid },
  },
  "fp8, one scale, static activations": {
    settings: { quant_method: "fp8", activation_scheme: "static", ignored_layers: ["lm_head"] },
    ...{ suffix: "_scale", scaleType: "F32", block: whole, shape: () => [], unused: [".input_scale"] },
  },
  "fp8, one scale_inv": {
    settings: { ...fine, activation_scheme: "static", weight_block_size: null, dequantize: false },
    ...{ suffix: "_scale_inv", scaleType: "BF16", block: whole, shape: () => [], unused: [".activation_scale"] },
  },
  "compressed-tensors, a scale for each row": {
    settings: group({ strategy: "channel" }, { dynamic: true, strategy: "token" }),
    ...{ suffix: "_scale", scaleType: "BF16", block: (_, columns) => [1, columns], shape: grid },
  },
  "compressed-tensors, one scale": {
    settings: group({ strategy: "tensor" }, { dynamic: false, strategy: "tensor" }),
    ...{ suffix: "_scale", scaleType: "F16", block: whole, shape: () => [1], unused: [".input_scale", ".k_scale"] },
  },
  "compressed-tensors, blocks": {
    settings: group({ strategy: "block", block_structure: [128, 128] }, { dynamic: true, strategy: "group", group_size: 128 }),
    ...{ suffix: "_scale", scaleType: "F32", block: square, shape: grid },
  },
};

/** The finite numbers from 0 on, by their bits. */
const NUMBERS = Float64Array.from({ length: 127 }, (_, bits) => e4m3(bits));

/** Bits of the nearest number. */
function toE4m3(value: number): number {
  const size = Math.abs(value);
  let low = 0;
  for (let high = NUMBERS.length - 1; low < high; ) {
    const middle = (low + high) >> 1;
    if ((NUMBERS[middle]! + NUMBERS[middle + 1]!) / 2 < size) low = middle + 1;
    else high = middle;
  }
  return low | (value < 0 ? 0x80 : 0);
}

const floats = (bytes: Uint8Array): Float32Array => new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);

/** A number as a type has it. */
function rounded(type: Fp8Dialect["scaleType"], value: number): number {
  const bytes = encodeFloats(type, [value]);
  if (type === "F32") return floats(bytes)[0]!;
  const bits = bytes[0]! | (bytes[1]! << 8);
  if (type === "BF16") return new Float32Array(Uint32Array.of(bits << 16).buffer)[0]!;
  const exponent = bits >> 10; // of numbers from 0 on
  return exponent === 0 ? bits * 2 ** -24 : (1024 + (bits & 1023)) * 2 ** (exponent - 25);
}

/** A matrix in F8_E4M3 with its scales, and what its elements then are. */
function quantize({ name, shape, data }: TensorInput, dialect: Fp8Dialect): { tensors: TensorInput[]; values: Float32Array } {
  const [rows, columns] = shape as [number, number];
  const weights = floats(data!);
  const [blockRows, blockColumns] = dialect.block(rows, columns);
  const [gridRows, gridColumns] = [Math.ceil(rows / blockRows), Math.ceil(columns / blockColumns)];
  const largest = new Float64Array(gridRows * gridColumns);
  const place = (i: number): number =>
    Math.floor(Math.floor(i / columns) / blockRows) * gridColumns + Math.floor((i % columns) / blockColumns);
  weights.forEach((weight, i) => {
    largest[place(i)] = Math.max(largest[place(i)]!, Math.abs(weight));
  });
  const scales = largest.map((size) => rounded(dialect.scaleType, size / 448));
  const elements = Uint8Array.from(weights, (weight, i) => toE4m3(weight / scales[place(i)]!));
  const { scaleType, suffix, unused = [] } = dialect;
  return {
    tensors: [
      { name, type: "F8_E4M3", shape, data: elements },
      { name: name + suffix, type: scaleType, shape: dialect.shape(gridRows, gridColumns), data: encodeFloats(scaleType, scales) },
      ...unused.map((end) => ({ name: name.replace(/\.weight$/, end), type: "F32", shape: [], data: encodeFloats("F32", [0.1]) })),
    ],
    values: Float32Array.from(elements, (bits, i) => e4m3(bits) * scales[place(i)]!),
  };
}

/** Whether a tensor is what such programs quantize. */
const isLinear = ({ name, shape }: TensorInput): boolean => shape.length === 2 && name.includes(".layers.");

/** q, k, v and gate, up each in one matrix, as phi3 has them. */
function fused(tensors: readonly TensorInput[]): TensorInput[] {
  const join = (into: string, parts: string[]): TensorInput[] =>
    tensors.flatMap((tensor) => {
      if (!tensor.name.endsWith(parts[0]!)) return [];
      const all = parts.map((part) => tensors.find(({ name }) => name === tensor.name.replace(parts[0]!, part))!);
      const data = new Uint8Array(Buffer.concat(all.map((each) => each.data!)));
      const rows = all.reduce((sum, { shape }) => sum + shape[0]!, 0);
      return [{ name: tensor.name.replace(parts[0]!, into), type: "F32", shape: [rows, tensor.shape[1]!], data }];
    });
  const rest = tensors.filter(({ name }) => !/\.(q|k|v|gate|up)_proj\.weight$/.test(name));
  const attention = ["q", "k", "v"].map((part) => `${part}_proj.weight`);
  return [...rest, ...join("qkv_proj.weight", attention), ...join("gate_up_proj.weight", ["gate_proj.weight", "up_proj.weight"])];
}

/** Directories of one model. */
export interface Fp8Model {
  quantized: string;
  /** Elements of the quantized as they are dequantized, in F32 and BF16. */
  f32: string;
  bf16: string;
  /** What the quantized file has. */
  tensors: TensorInput[];
}

/** A random model's config.json and tensors in a dialect. */
export function fp8Model(shape: ModelShape, dialect: Fp8Dialect): { config: Record<string, unknown>; tensors: TensorInput[] } {
  const tensors = huggingFaceTensors(shape).flatMap((tensor) => (isLinear(tensor) ? quantize(tensor, dialect).tensors : [tensor]));
  return { config: { ...configOf(shape), quantization_config: dialect.settings }, tensors };
}

/** Writes a random model in a dialect below `directory`; `phi3` has fused matrices of a llama. */
export async function writeFp8Model(
  directory: string,
  shape: ModelShape,
  dialect: Fp8Dialect,
  { phi3 = false }: { phi3?: boolean } = {},
): Promise<Fp8Model> {
  const config = { ...configOf(shape), ...(phi3 && { model_type: "phi3" }) };
  const plain = phi3 ? fused(huggingFaceTensors(shape)) : huggingFaceTensors(shape);
  const all = plain.map((tensor) => ({ tensor, quantized: isLinear(tensor) ? quantize(tensor, dialect) : undefined }));
  const write = async (name: string, settings: object, tensors: TensorInput[]): Promise<string> => {
    const path = join(directory, name);
    await mkdir(path, { recursive: true });
    await writeJson(join(path, "config.json"), { ...config, ...settings });
    await writeSafetensors(join(path, "model.safetensors"), tensors);
    return path;
  };
  const inType = (type: "F32" | "BF16"): TensorInput[] =>
    all.map(({ tensor, quantized }) => (quantized ? { ...tensor, type, data: encodeFloats(type, quantized.values) } : tensor));
  const tensors = all.flatMap(({ tensor, quantized }) => quantized?.tensors ?? [tensor]);
  return {
    quantized: await write("quantized", { quantization_config: dialect.settings }, tensors),
    f32: await write("f32", {}, inType("F32")),
    bf16: await write("bf16", {}, inType("BF16")),
    tensors,
  };
}
