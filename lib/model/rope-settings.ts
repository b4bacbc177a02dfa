import { counted, show } from "../errors.ts";
import { type Config, LIMITS, type Range } from "./config.ts";
import { type RopeScaling, yarnAttentionFactor } from "./rope.ts";
import type { DenseSizes } from "./sizes.ts";

/** What both kinds of files say of ropes. */

// These ranges are far wider than published models need and so narrow that a frequency, at least 1 / (base × factor), is a normal float32.
const ROPE_BASE: Range = { min: 1.001, max: 1e12 };
const FACTOR: Range = { min: 1e-3, max: 1e6 };
const BETA: Range = { min: 1e-6, max: 1e6 };
// 0 says nothing.
const IF_ANY: Range = { min: 0, max: 1e6 };
const CONTEXT: Range = { min: 1, max: LIMITS.contextLength };

/** Base, scaling and rotated dimensions of one rope. */
export interface RopeParameters {
  base: number;
  scaling: RopeScaling;
  /** Dimensions of a head that turn. */
  size: number;
}

/** A model's ropes: that of layers that see all, and that of layers that see a window. */
export interface LayerRopes {
  full: RopeParameters;
  sliding: RopeParameters;
}

/** What stands outside of a rope's own parameters. */
interface RopeDefaults {
  base: number;
  /** Share of a head's dimensions that turn. */
  share: number;
  headSize: number;
  /** Positions that the model was trained for. */
  contextLength: number;
  /** Those before its rope was scaled, where it is said outside: unlike the rest this holds before what is inside. */
  originalContext: number | undefined;
}

const SHARE: Range = { min: 1e-3, max: 1 };

/**
 * The ropes of a Hugging Face config, of layers that see all and of those that see a window: transformers 5 keeps base and scaling together
 * in `rope_parameters`, or in one object for each kind of layer; before, the base stood outside as `rope_theta`, the rest in `rope_scaling`,
 * and windows had an unscaled rope. Where a value is inside and outside, the inside one holds.
 */
export function ropesFromConfig(
  config: Config,
  { contextLength, headSize }: Pick<DenseSizes, "contextLength" | "headSize">,
  perLayerType: boolean,
): LayerRopes {
  const outside: RopeDefaults = {
    base: config.number("rope_theta", ROPE_BASE, 10000),
    share: config.number("partial_rotary_factor", SHARE, 1),
    headSize,
    contextLength,
    originalContext: config.has("original_max_position_embeddings")
      ? config.integer("original_max_position_embeddings", CONTEXT)
      : undefined,
  };
  const inside = ropeObjectOf(config);
  if (!perLayerType) inside?.refuse({ full_attention: [], sliding_attention: [] });
  const full = ropeFrom(inside?.object("full_attention") ?? inside, outside, config);
  if (!perLayerType) return { full, sliding: full };
  const sliding = inside?.object("sliding_attention");
  // What is said of no kind of layer holds for all, but for scaling.
  const base = config.number("rope_local_base_freq", ROPE_BASE, inside?.has("full_attention") ? outside.base : full.base);
  return { full, sliding: ropeFrom(sliding, { ...outside, base }, config) };
}

/** What a config says of its rope: transformers, too, takes `rope_scaling` where it has anything in it. */
export function ropeObjectOf(config: Config): Config | undefined {
  return config.filledObject("rope_scaling") ?? config.filledObject("rope_parameters");
}

/** By its parameters; where there are none unscaled, as `config` says outside. */
function ropeFrom(parameters: Config | undefined, outside: RopeDefaults, config: Config): RopeParameters {
  if (parameters !== undefined) return ropeFromParameters(parameters, outside);
  return { base: outside.base, size: rotatedSize(config, outside.headSize, outside.share), scaling: { type: "default" } };
}

function rotatedSize(config: Config, headSize: number, share: number): number {
  const size = Math.floor(headSize * share);
  if (size % 2 !== 0 || size === 0)
    throw config.invalid(
      "partial_rotary_factor",
      `is ${share}: ${size} of ${counted(headSize, "dimension")} turn; expected an even number`,
    );
  return size;
}

function ropeFromParameters(inside: Config, outside: RopeDefaults): RopeParameters {
  const base = inside.number("rope_theta", ROPE_BASE, outside.base);
  const size = rotatedSize(inside, outside.headSize, inside.number("partial_rotary_factor", SHARE, outside.share));
  const key = inside.has("rope_type") ? "rope_type" : "type";
  return { base, size, scaling: scalingFromParameters(inside, key, outside) };
}

function scalingFromParameters(inside: Config, key: string, outside: RopeDefaults): RopeScaling {
  const type = inside.string(key, "default");
  switch (type) {
    case "default":
      return { type };
    case "linear":
      return { type, factor: inside.number("factor", FACTOR) };
    case "llama3":
      return llama3FromConfig(inside, outside);
    case "yarn":
      // The first files of phi3 called longrope so.
      return inside.has("long_factor") ? longropeFromConfig(inside, outside) : yarnFromConfig(inside, outside);
    case "longrope":
    case "su":
      return longropeFromConfig(inside, outside);
    default:
      throw inside.unsupported(key, type, "this kind of rope (default, linear, llama3, yarn and longrope are known)");
  }
}

function originalContextOf(inside: Config, { originalContext, contextLength }: RopeDefaults): number {
  return originalContext ?? inside.integer("original_max_position_embeddings", CONTEXT, contextLength);
}

function longropeFromConfig(config: Config, outside: RopeDefaults): RopeScaling {
  const originalContext = originalContextOf(config, outside);
  const factor = config.number("factor", FACTOR, outside.contextLength / originalContext);
  // log(1) would be divided by.
  const computed = factor <= 1 || originalContext === 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(originalContext));
  return {
    type: "longrope",
    shortFactors: factorsAt(config, "short_factor"),
    longFactors: factorsAt(config, "long_factor"),
    originalContext,
    attentionFactor: config.number("attention_factor", FACTOR, computed),
  };
}

function factorsAt(config: Config, key: string): Float64Array {
  const value = config.value(key);
  const isFactor = (factor: unknown): boolean => typeof factor === "number" && factor >= FACTOR.min && factor <= FACTOR.max;
  if (!Array.isArray(value) || !value.every(isFactor))
    throw config.invalid(key, `is ${show(value)}; expected an array of numbers from ${FACTOR.min} to ${FACTOR.max}`);
  return Float64Array.from(value as number[]);
}

function llama3FromConfig(config: Config, outside: RopeDefaults): RopeScaling {
  const lowFrequencyFactor = config.number("low_freq_factor", FACTOR);
  const highFrequencyFactor = config.number("high_freq_factor", FACTOR);
  if (highFrequencyFactor <= lowFrequencyFactor)
    throw config.invalid("high_freq_factor", `is ${highFrequencyFactor}; expected more than low_freq_factor, ${lowFrequencyFactor}`);
  const originalContext = originalContextOf(config, outside);
  return { type: "llama3", factor: config.number("factor", FACTOR), lowFrequencyFactor, highFrequencyFactor, originalContext };
}

function yarnFromConfig(config: Config, outside: RopeDefaults): RopeScaling {
  const originalContext = originalContextOf(config, outside);
  const factor = config.number("factor", FACTOR, outside.contextLength / originalContext);
  const scale = config.number("mscale", IF_ANY, 0);
  const allDimensions = config.number("mscale_all_dim", IF_ANY, 0);
  const computed =
    scale > 0 && allDimensions > 0
      ? yarnAttentionFactor(factor, scale) / yarnAttentionFactor(factor, allDimensions)
      : yarnAttentionFactor(factor);
  return {
    type: "yarn",
    factor,
    originalContext,
    betaFast: config.number("beta_fast", IF_ANY, 0) || 32,
    betaSlow: config.number("beta_slow", IF_ANY, 0) || 1,
    truncate: config.boolean("truncate", true),
    attentionFactor: config.number("attention_factor", FACTOR, computed),
  };
}

/** What a GGUF file says of its rope by tensors. */
export interface RopeTensors {
  /** rope_freqs.weight: llama3's scaling worked out, as {@link RopeOptions.divisors}. */
  divisors: Float32Array | undefined;
  /** rope_factors_short.weight and rope_factors_long.weight: longrope's. */
  short: Float32Array | undefined;
  long: Float32Array | undefined;
}

/** The ropes of GGUF metadata, whose own names `config` has for `rope_theta` and the like: llama.cpp's `rope.*` keys. Windows' is unscaled. */
export function ropesFromGguf(config: Config, contextLength: number, headSize: number, tensors: RopeTensors): LayerRopes {
  const base = config.number("rope_theta", ROPE_BASE, 10000);
  const size = config.integer("rope.dimension_count", { min: 2, max: headSize }, headSize);
  if (size % 2 !== 0) throw config.invalid("rope.dimension_count", `is ${size}; expected an even number`);
  const slidingBase = config.number("rope_local_base_freq", ROPE_BASE, base);
  return {
    full: { base, size, scaling: scalingFromGguf(config, contextLength, tensors) },
    sliding: { base: slidingBase, size, scaling: { type: "default" } },
  };
}

function scalingFromGguf(config: Config, contextLength: number, { short, long }: RopeTensors): RopeScaling {
  if ((short === undefined) !== (long === undefined))
    throw config.invalid("rope.scaling.type", "has one of rope_factors_short.weight and rope_factors_long.weight; expected both or none");
  if (short !== undefined && long !== undefined)
    return {
      type: "longrope",
      shortFactors: Float64Array.from(short),
      longFactors: Float64Array.from(long),
      originalContext: config.integer("rope.scaling.original_context_length", CONTEXT, contextLength),
      attentionFactor: config.number("rope.scaling.attn_factor", FACTOR, 1),
    };
  // Factors beyond yarn's own, which only architectures have that are not read.
  config.refuse({ "rope.scaling.attn_factor": [1], "rope.scaling.yarn_ext_factor": [1] });
  const factor = config.number("rope.scaling.factor", FACTOR, config.number("rope.scale_linear", FACTOR, 1));
  const type = config.string("rope.scaling.type", "linear");
  switch (type) {
    case "none":
      return { type: "default" };
    case "linear":
      return factor === 1 ? { type: "default" } : { type, factor };
    case "yarn":
      return yarnFromGguf(config, factor, contextLength);
    default:
      throw config.unsupported("rope.scaling.type", type, "this kind of rope (none, linear and yarn are known)");
  }
}

function yarnFromGguf(config: Config, factor: number, context: number): RopeScaling {
  // mscale_all_dim by another name: it divides what the factor gives.
  const multiplier = config.number("mscale_all_dim", { min: 0, max: 1e6 }, 0);
  const computed = yarnAttentionFactor(factor) / (multiplier === 0 ? 1 : yarnAttentionFactor(factor, multiplier));
  return {
    type: "yarn",
    factor,
    originalContext: config.integer("rope.scaling.original_context_length", CONTEXT, context),
    betaFast: config.number("rope.scaling.yarn_beta_fast", BETA, 32),
    betaSlow: config.number("rope.scaling.yarn_beta_slow", BETA, 1),
    truncate: true,
    attentionFactor: config.number("rope.scaling.yarn_attn_factor", FACTOR, computed),
  };
}
