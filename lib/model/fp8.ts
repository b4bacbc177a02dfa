import { KvasirError, show } from "../errors.ts";
import type { StoredTensor } from "../files/tensors.ts";
import type { Config } from "./config.ts";
import type { Cut } from "./kinds.ts";
import { TENSOR_TYPES, type WeightScales } from "./spec.ts";

/**
 * Weights of Hugging Face files in F8_E4M3. Matrix NAME.weight has elements, NAME.weight_scale_inv (quant_method `fp8`) or NAME.weight_scale
 * (`compressed-tensors`, and older `fp8`) what they are multiplied with: one number, one for each row, or a grid of one for each block.
 * Which matrices are so is said by their type. Activations are not quantized here, so that their scales, and those of a quantized cache, are
 * left alone, whatever the scheme says of them.
 */
export interface Fp8Scheme {
  /** Rows and columns of weights that share a scale, where scales are a grid. */
  block: readonly [rows: number, columns: number] | undefined;
}

/** The scheme of a `quantization_config`; throws for any that is not one of these. */
export function fp8SchemeOf(config: Config): Fp8Scheme {
  return config.value("quant_method") === "fp8" ? blockScheme(config) : compressedScheme(config);
}

/** Whether {@link fp8SchemeOf} reads weights of the method. */
export function isFp8Method(method: unknown): boolean {
  return method === "fp8" || method === "compressed-tensors";
}

/** transformers' FineGrainedFP8Config, and AutoFP8's, which says as much. */
function blockScheme(config: Config): Fp8Scheme {
  checkKnown(config, { fmt: ["e4m3"] });
  return { block: blockOf(config, "weight_block_size") };
}

/** Where compressed-tensors' weights lie as they are computed with; `naive-quantized` is what its first versions called it. */
const FORMATS = ["float-quantized", "naive-quantized"];

/** compressed-tensors: groups of modules, of which those have a tensor of this type whose weights have 8 bits. */
function compressedScheme(config: Config): Fp8Scheme {
  checkKnown(config, { format: [...FORMATS, "mixed-precision"] });
  checkKnown(config.object("sparsity_config"), { format: ["dense"] });
  if (config.filledObject("transform_config") !== undefined) throw unsupported(config, "transform_config");
  const groups = config.filledObject("config_groups");
  if (groups === undefined) throw config.invalid("config_groups", `is ${show(config.value("config_groups"))}; expected groups of modules`);
  const blocks = Object.keys(config.value("config_groups") as object).map((name) => groupBlock(groups.object(name), groups, name));
  const [block] = blocks.filter((each) => each !== undefined);
  if (blocks.some((each) => each !== undefined && each.join() !== block?.join())) throw unsupported(config, "config_groups");
  return { block };
}

function groupBlock(group: Config | undefined, groups: Config, name: string): Fp8Scheme["block"] {
  const weights = group?.object("weights");
  if (weights === undefined) throw unsupported(groups, name);
  checkKnown(group, { format: FORMATS });
  checkKnown(weights, { type: ["float"], num_bits: [8], symmetric: [true], strategy: ["tensor", "channel", "block"] });
  return blockOf(weights, "block_structure");
}

/** Whole blocks of the type in which kvasir keeps them share a scale. */
function blockOf(config: Config, key: string): Fp8Scheme["block"] {
  const value = config.value(key);
  if (value === undefined) return undefined;
  const isSize = (size: unknown): size is number => Number.isInteger(size) && (size as number) >= 1 && (size as number) <= 2 ** 24;
  if (!Array.isArray(value) || value.length !== 2 || !value.every(isSize))
    throw config.invalid(key, `is ${show(value)}; expected [rows, columns]`);
  const [rows, columns] = value as [number, number];
  if (columns % BLOCK !== 0) throw unsupported(config, key, `blocks of a multiple of ${BLOCK} columns`);
  return [rows, columns];
}

const BLOCK = TENSOR_TYPES.F8_E4M3.block;

/** Settings that are absent, or have one of these values. */
function checkKnown(config: Config | undefined, known: Readonly<Record<string, readonly unknown[]>>): void {
  for (const [key, values] of Object.entries(known)) {
    const value = config?.value(key);
    if (value !== undefined && !values.includes(value)) throw unsupported(config!, key, values.map(show).join(" or "));
  }
}

function unsupported(config: Config, key: string, expected: string = "none, or what leaves weights in F8_E4M3 as they are"): KvasirError {
  return new KvasirError("UNSUPPORTED_FORMAT", `${config.place}${key} is ${show(config.value(key))}; expected ${expected}`);
}

/** Of activations, and of a quantized cache. */
const UNUSED = /(^|\.)(input_scale|activation_scale|output_scale|[qkv]_scale|kv_scale)$/;

/** Whether a tensor is a scale: one of a matrix in F8_E4M3, or of quantized weights one that goes unused. */
export function isScale(name: string, isQuantized: boolean, typeOf: (name: string) => string | undefined): boolean {
  const matrix = /^(.*weight)_scale(_inv)?$/.exec(name)?.[1];
  return matrix === undefined ? isQuantized && UNUSED.test(name) : typeOf(matrix) === "F8_E4M3";
}

/** Where a matrix, or the part of it that `cut` is, has its scales; `stored` finds them. */
export function scalesOf<Found extends StoredTensor & { file: number }>(
  path: string,
  scheme: Fp8Scheme | undefined,
  { source, first, layout }: Cut,
  [rows, columns]: readonly [number, number],
  stored: (name: string) => Found | undefined,
): WeightScales {
  const refuse = (why: string): KvasirError => new KvasirError("UNSUPPORTED_FORMAT", `${path}: tensor ${show(source)} is F8_E4M3, ${why}`);
  if (scheme === undefined) throw refuse("and config.json has no quantization_config that says how it is scaled");
  if (columns % BLOCK !== 0) throw refuse(`its rows have ${columns}; expected a multiple of ${BLOCK}`);
  if (layout !== undefined) throw refuse("and its rows don't lie one after the other; expected F32, F16 or BF16");
  const found = stored(`${source}_scale_inv`) ?? stored(`${source}_scale`);
  if (found === undefined)
    throw new KvasirError("FILE_INVALID", `${path}: tensor ${show(source)} is F8_E4M3; its ${source}_scale_inv or _scale is missing`);
  const type = found.type;
  if (type !== "F32" && type !== "F16" && type !== "BF16")
    throw new KvasirError("UNSUPPORTED_FORMAT", `${path}: tensor ${show(found.name)} is ${type}; expected F32, F16 or BF16`);
  const [blockRows, blockColumns] = sharing(path, scheme, [rows, columns], found);
  return { file: found.file, offset: found.offset, type, blockRows, blockColumns, first };
}

/** Rows and columns that share a scale, by the shape of the scales. */
function sharing(
  path: string,
  { block }: Fp8Scheme,
  [rows, columns]: readonly [number, number],
  { name, shape }: StoredTensor,
): readonly [number, number] {
  const candidates: (readonly [number, number])[] = [[rows, columns], [1, columns], ...(block === undefined ? [] : [block])];
  const [r = 1, c = 1, ...more] = shape;
  const found = candidates.find((of) => more.length === 0 && r === Math.ceil(rows / of[0]) && c === Math.ceil(columns / of[1]));
  if (found !== undefined) return found;
  const grid = block === undefined ? "" : `, or [${Math.ceil(rows / block[0])},${Math.ceil(columns / block[1])}] for blocks of [${block}]`;
  throw new KvasirError("FILE_INVALID", `${path}: tensor ${show(name)} is [${shape}]; expected one number, [${rows},1]${grid}`);
}
