import { counted, KvasirError, show } from "../errors.ts";
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
  block: BlockSize | undefined;
}

type BlockSize = readonly [rows: number, columns: number];

/**
 * By quant_method, the scheme of such a `quantization_config`: `undefined` where it quantizes no weights; throws for one whose weights aren't
 * in F8_E4M3.
 */
export const FP8_METHODS: ReadonlyMap<unknown, (settings: Config) => Fp8Scheme | undefined> = new Map([
  ["fp8", fineGrainedScheme],
  ["compressed-tensors", compressedScheme],
]);

/** transformers' FineGrainedFP8Config, and AutoFP8's, which says as much. */
function fineGrainedScheme(settings: Config): Fp8Scheme {
  checkKnown(settings, { fmt: ["e4m3"] });
  return { block: blockSize(settings, "weight_block_size") };
}

/** Where compressed-tensors' weights lie as they are computed with; `naive-quantized` is what its first versions called it. */
const FORMATS = ["float-quantized", "naive-quantized"];

/** compressed-tensors: groups of modules, of which those have a tensor of this type whose weights have 8 bits. */
function compressedScheme(settings: Config): Fp8Scheme | undefined {
  checkKnown(settings, { format: [...FORMATS, "mixed-precision"] });
  checkKnown(settings.object("sparsity_config"), { format: ["dense"] });
  checkNoTransforms(settings);
  const groups = settings.filledObject("config_groups");
  if (groups === undefined) throw settings.unexpected("config_groups", "groups of modules");
  const weights = Object.keys(settings.value("config_groups") as object).flatMap((name) => weightsOfGroup(groups, name) ?? []);
  if (weights.length === 0) return undefined;
  const blocks = weights.map((each) => blockSize(each, "block_structure")).filter((each) => each !== undefined);
  const [block] = blocks;
  if (blocks.some((each) => each.join() !== block?.join())) throw unreadable(settings, "config_groups", "blocks of one size");
  return { block };
}

/** What a group says of its weights; some quantize activations alone. */
function weightsOfGroup(groups: Config, name: string): Config | undefined {
  const group = groups.object(name);
  if (group === undefined) throw groups.unexpected(name, "an object");
  const weights = group.object("weights");
  if (weights === undefined) return undefined;
  checkKnown(group, { format: FORMATS });
  checkKnown(weights, { type: ["float"], num_bits: [8], symmetric: [true], strategy: ["tensor", "channel", "block"] });
  return weights;
}

/** Weights that were rotated before they were quantized want the same done to activations. */
function checkNoTransforms(settings: Config): void {
  const transforms = settings.filledObject("transform_config");
  if (transforms === undefined) return;
  const keys = Object.keys(settings.value("transform_config") as object);
  if (keys.join() !== "config_groups" || transforms.filledObject("config_groups") !== undefined)
    throw unreadable(settings, "transform_config", "none");
}

/** Whole blocks of the type in which kvasir keeps them share a scale. */
function blockSize(settings: Config, key: string): BlockSize | undefined {
  const value = settings.value(key);
  if (value === undefined) return undefined;
  const isSize = (size: unknown): size is number => Number.isInteger(size) && (size as number) >= 1 && (size as number) <= 2 ** 24;
  if (!Array.isArray(value) || value.length !== 2 || !value.every(isSize)) throw settings.unexpected(key, "[rows, columns]");
  const [rows, columns] = value as [number, number];
  if (columns % BLOCK !== 0) throw unreadable(settings, key, `blocks of a multiple of ${BLOCK} columns`);
  return [rows, columns];
}

const BLOCK = TENSOR_TYPES.F8_E4M3.block;

/** Settings that are absent, or have one of these values. */
function checkKnown(settings: Config | undefined, known: Readonly<Record<string, readonly unknown[]>>): void {
  for (const [key, values] of Object.entries(known)) {
    const value = settings?.value(key);
    if (value !== undefined && !values.includes(value)) throw unreadable(settings!, key, values.map(show).join(" or "));
  }
}

function unreadable(settings: Config, key: string, expected: string): KvasirError {
  return settings.unexpected(key, expected, "UNSUPPORTED_FORMAT");
}

/** Of activations, and of a quantized cache. */
const UNUSED = /(^|\.)(input_scale|activation_scale|output_scale|[qkv]_scale|kv_scale)$/;

/** Types of weights that need no scale. */
const UNSCALED = ["F32", "F16", "BF16"] as const;

/**
 * Whether a tensor is a scale: one of a matrix that needs it (where its type isn't read, that is what is to be said), or of quantized weights
 * one that goes unused.
 */
export function isScale(name: string, isQuantized: boolean, typeOf: (name: string) => string | undefined): boolean {
  const matrix = /^(.*weight)_scale(_inv)?$/.exec(name)?.[1];
  if (matrix === undefined) return isQuantized && UNUSED.test(name);
  const type = typeOf(matrix);
  return type !== undefined && !isUnscaled(type);
}

function isUnscaled(type: string): type is (typeof UNSCALED)[number] {
  return UNSCALED.some((each) => each === type);
}

/** Where a matrix, or the part of it that `cut` is, has its scales; `stored` finds them. */
export function scalesOf<Found extends StoredTensor & { file: number }>(
  path: string,
  scheme: Fp8Scheme | undefined,
  { source, first, layout }: Cut,
  [rows, columns]: readonly [number, number],
  stored: (name: string) => Found | undefined,
): WeightScales {
  const matrix = `${path}: tensor ${show(source)} is F8_E4M3`;
  const refuse = (why: string): KvasirError => new KvasirError("UNSUPPORTED_FORMAT", `${matrix}, ${why}`);
  if (scheme === undefined) throw refuse("and config.json has no quantization_config that says how it is scaled");
  if (columns % BLOCK !== 0) throw refuse(`its rows have ${counted(columns, "column")}; expected a multiple of ${BLOCK}`);
  if (layout !== undefined) throw refuse("and its rows don't lie one after the other; expected F32, F16 or BF16");
  const [found, another] = [stored(`${source}_scale_inv`), stored(`${source}_scale`)].filter((each) => each !== undefined);
  if (found === undefined) throw new KvasirError("FILE_INVALID", `${matrix}; its ${source}_scale_inv or _scale is missing`);
  if (another !== undefined)
    throw new KvasirError("FILE_INVALID", `${matrix}, and both ${found.name} and ${another.name} are there; expected one of them`);
  const { name, type, file, offset } = found;
  if (!isUnscaled(type)) throw new KvasirError("UNSUPPORTED_FORMAT", `${path}: tensor ${show(name)} is ${type}; expected F32, F16 or BF16`);
  const [blockRows, blockColumns] = sharedBy(path, scheme, [rows, columns], found);
  return { matrix: source, name, file, offset, type, blockRows, blockColumns, first };
}

/** Rows and columns that share a scale, by the shape of the scales. */
function sharedBy(path: string, { block }: Fp8Scheme, [rows, columns]: BlockSize, { name, shape }: StoredTensor): BlockSize {
  const gridOf = ([blockRows, blockColumns]: BlockSize): BlockSize => [Math.ceil(rows / blockRows), Math.ceil(columns / blockColumns)];
  const [gridRows = 1, gridColumns = 1, ...more] = shape;
  const candidates: BlockSize[] = [[rows, columns], [1, columns], ...(block === undefined ? [] : [block])];
  const found = candidates.find((each) => more.length === 0 && gridOf(each).join() === `${gridRows},${gridColumns}`);
  if (found !== undefined) return found;
  const expected =
    block === undefined
      ? `one number or [${rows},1], as config.json names no size of blocks`
      : `one number, [${rows},1], or [${gridOf(block)}] for blocks of [${block}]`;
  throw new KvasirError("FILE_INVALID", `${path}: tensor ${show(name)} is [${shape}]; expected ${expected}`);
}
