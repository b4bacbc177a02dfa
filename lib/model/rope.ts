import { KvasirError, show } from "../errors.ts";
import { type Config, LIMITS, type Range } from "./config.ts";
import type { RopeSpec } from "./spec.ts";

/**
 * Frequencies of rotary position embeddings, as transformers' modeling_rope_utils and ggml's rope compute them: in float64, kept as float32.
 * Pair i of D/2 turns by position × base^(-2i/D), which a scaling then changes.
 */

/** How frequencies are changed for contexts longer than those trained first. */
export type RopeScaling =
  | { type: "default" }
  | { type: "linear"; factor: number }
  | { type: "llama3"; factor: number; lowFrequencyFactor: number; highFrequencyFactor: number; originalContext: number }
  | {
      type: "yarn";
      factor: number;
      originalContext: number;
      /** Pairs that turn more often than `betaFast` times within the original context keep their frequency, below `betaSlow` it is divided. */
      betaFast: number;
      betaSlow: number;
      /** Whether the ends of the ramp between them are rounded outwards to whole pairs. */
      truncate: boolean;
      /** Factor on cos and sin. */
      attentionFactor: number;
    }
  | {
      type: "longrope";
      /** Each frequency is divided by its own: by the short ones up to the original context, by the long ones beyond. */
      shortFactors: Float64Array;
      longFactors: Float64Array;
      originalContext: number;
      /** Factor on cos and sin. */
      attentionFactor: number;
    };

/** What a rope is made of. */
export interface RopeOptions {
  base: number;
  /** Rotated dimensions. */
  size: number;
  scaling: RopeScaling;
  interleaved: boolean;
  /** Each frequency is divided by its own (GGUF's rope_freqs.weight, llama3's scaling worked out). */
  divisors?: Float32Array | undefined;
}

// These ranges are far wider than published models need and so narrow that a frequency, at least 1 / (base × factor), is a normal float32.
/** The range of a rope's base. */
export const ROPE_BASE: Range = { min: 1.001, max: 1e12 };
const FACTOR: Range = { min: 1e-3, max: 1e6 };
const BETA: Range = { min: 1e-6, max: 1e6 };
const CONTEXT: Range = { min: 1, max: LIMITS.contextLength };

/** The rope that the options describe. */
export function buildRope({ base, size, scaling, interleaved, divisors }: RopeOptions): RopeSpec {
  if (divisors !== undefined && divisors.length !== size / 2)
    throw new KvasirError("FILE_INVALID", `rope_freqs.weight has ${divisors.length} numbers; expected ${size / 2}, half the head size`);
  const plain = Float64Array.from({ length: size / 2 }, (_, i) => base ** ((-2 * i) / size) / (divisors?.[i] ?? 1));
  const frequencies = Float32Array.from(scaleFrequencies(plain, base, scaling));
  if (scaling.type !== "longrope") return { frequencies, scale: scaling.type === "yarn" ? scaling.attentionFactor : 1, interleaved };
  const long = { beyond: scaling.originalContext, frequencies: Float32Array.from(divide(plain, scaling.longFactors)) };
  return { frequencies, long, scale: scaling.attentionFactor, interleaved };
}

/**
 * A model's ropes in engines of this `maxContext`. Which factors longrope has is fixed here, not by a request's length, so that chunks
 * and cached prefixes of any request agree.
 */
export function ropesFor(ropes: readonly RopeSpec[], maxContext: number): RopeSpec[] {
  return ropes.map(({ frequencies, long, scale, interleaved }) => {
    const isLong = long !== undefined && maxContext > long.beyond;
    return { frequencies: isLong ? long.frequencies : frequencies, scale, interleaved };
  });
}

function divide(frequencies: Float64Array, factors: Float64Array): Float64Array {
  if (factors.length !== frequencies.length)
    throw new KvasirError(
      "FILE_INVALID",
      `longrope has ${factors.length} factors; expected ${frequencies.length}, half the rotated dimensions`,
    );
  return frequencies.map((frequency, i) => frequency / factors[i]!);
}

/**
 * Yarn's factor on cos and sin where a model gives none. The 0.1 is the paper's (arXiv:2309.00071): fitted to the temperatures of attention
 * that gave llama models, extended by various factors, the lowest perplexity.
 */
export function yarnAttentionFactor(factor: number, multiplier: number = 1): number {
  return factor <= 1 ? 1 : 0.1 * multiplier * Math.log(factor) + 1;
}

function scaleFrequencies(plain: Float64Array, base: number, scaling: RopeScaling): Float64Array {
  switch (scaling.type) {
    case "default":
      return plain;
    case "linear":
      return plain.map((frequency) => frequency / scaling.factor);
    case "llama3":
      return plain.map((frequency) => llama3Frequency(frequency, scaling));
    case "longrope":
      return divide(plain, scaling.shortFactors);
    case "yarn": {
      const [low, high] = yarnRamp(plain.length * 2, base, scaling);
      return plain.map((frequency, i) => {
        const divided = Math.min(Math.max((i - low) / (high - low), 0), 1);
        return (frequency / scaling.factor) * divided + frequency * (1 - divided);
      });
    }
  }
}

/** Long wavelengths are stretched by the factor, short ones kept, those between are blended. */
function llama3Frequency(frequency: number, scaling: RopeScaling & { type: "llama3" }): number {
  const turns = (scaling.originalContext * frequency) / (2 * Math.PI);
  if (turns < scaling.lowFrequencyFactor) return frequency / scaling.factor;
  if (turns > scaling.highFrequencyFactor) return frequency;
  const kept = (turns - scaling.lowFrequencyFactor) / (scaling.highFrequencyFactor - scaling.lowFrequencyFactor);
  return ((1 - kept) * frequency) / scaling.factor + kept * frequency;
}

/** Pairs between which frequencies go over from kept to divided. */
function yarnRamp(size: number, base: number, scaling: RopeScaling & { type: "yarn" }): [low: number, high: number] {
  const pairThatTurns = (times: number): number =>
    (size * Math.log(scaling.originalContext / (times * 2 * Math.PI))) / (2 * Math.log(base));
  let low = pairThatTurns(scaling.betaFast);
  let high = pairThatTurns(scaling.betaSlow);
  if (scaling.truncate) [low, high] = [Math.floor(low), Math.ceil(high)];
  low = Math.max(low, 0);
  high = Math.min(high, size - 1);
  // Ends that fall together would divide 0 by 0; 0.001 is transformers' and llama.cpp's.
  return [low, low === high ? high + 0.001 : high];
}

/** Base, scaling and share of one rope. */
export interface RopeParameters {
  base: number;
  scaling: RopeScaling;
  /** Share of a head's dimensions that turn. */
  share: number;
}

/** What stands outside of a rope's own parameters. */
export interface RopeDefaults {
  base: number;
  share: number;
  /** Positions that the model was trained for, and those before its rope was scaled. */
  contextLength: number;
  originalContext: number;
}

const SHARE: Range = { min: 1e-3, max: 1 };

/**
 * The ropes of a Hugging Face config, of layers that see all and of those that see a window: transformers 5 keeps base and scaling together
 * in `rope_parameters`, or in one object for each kind of layer; before, the base stood outside as `rope_theta`, the rest in `rope_scaling`,
 * and windows had an unscaled rope. Where a value is inside and outside, the inside one holds.
 */
export function ropesFromConfig(config: Config, contextLength: number): { full: RopeParameters; sliding: RopeParameters } {
  const outside: RopeDefaults = {
    base: config.number("rope_theta", ROPE_BASE, 10000),
    share: config.number("partial_rotary_factor", SHARE, 1),
    contextLength,
    originalContext: config.integer("original_max_position_embeddings", CONTEXT, contextLength),
  };
  const inside = config.object("rope_parameters") ?? config.object("rope_scaling");
  const full = inside?.object("full_attention") ?? inside;
  const sliding = inside?.object("sliding_attention");
  const slidingBase = config.number("rope_local_base_freq", ROPE_BASE, outside.base);
  return {
    full: full === undefined ? unscaled(outside) : ropeFromParameters(full, outside),
    sliding:
      sliding === undefined ? unscaled({ ...outside, base: slidingBase }) : ropeFromParameters(sliding, { ...outside, base: slidingBase }),
  };
}

function unscaled({ base, share }: RopeDefaults): RopeParameters {
  return { base, share, scaling: { type: "default" } };
}

function ropeFromParameters(inside: Config, outside: RopeDefaults): RopeParameters {
  const base = inside.number("rope_theta", ROPE_BASE, outside.base);
  const share = inside.number("partial_rotary_factor", SHARE, outside.share);
  const key = inside.has("rope_type") ? "rope_type" : "type";
  return { base, share, scaling: scalingFromParameters(inside, key, outside) };
}

function scalingFromParameters(inside: Config, key: string, outside: RopeDefaults): RopeScaling {
  const type = inside.string(key, "default");
  switch (type) {
    case "default":
      return { type };
    case "linear":
      return { type, factor: inside.number("factor", FACTOR) };
    case "llama3":
      return llama3FromConfig(inside, outside.originalContext);
    case "yarn":
      // The first files of phi3 called longrope so.
      return inside.has("long_factor") ? longropeFromConfig(inside, outside) : yarnFromConfig(inside, outside.originalContext);
    case "longrope":
    case "su":
      return longropeFromConfig(inside, outside);
    default:
      throw inside.unsupported(key, type, "this kind of rope (default, linear, llama3, yarn and longrope are known)");
  }
}

function longropeFromConfig(config: Config, outside: RopeDefaults): RopeScaling {
  const originalContext = config.integer("original_max_position_embeddings", CONTEXT, outside.originalContext);
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

function llama3FromConfig(config: Config, context: number): RopeScaling {
  const lowFrequencyFactor = config.number("low_freq_factor", FACTOR);
  const highFrequencyFactor = config.number("high_freq_factor", FACTOR);
  if (highFrequencyFactor <= lowFrequencyFactor)
    throw config.invalid("high_freq_factor", `is ${highFrequencyFactor}; expected more than low_freq_factor, ${lowFrequencyFactor}`);
  const originalContext = config.integer("original_max_position_embeddings", CONTEXT, context);
  return { type: "llama3", factor: config.number("factor", FACTOR), lowFrequencyFactor, highFrequencyFactor, originalContext };
}

function yarnFromConfig(config: Config, context: number): RopeScaling {
  const originalContext = config.integer("original_max_position_embeddings", CONTEXT, context);
  const factor = config.number("factor", FACTOR);
  const scale = config.number("mscale", FACTOR, 1);
  const allDimensions = config.number("mscale_all_dim", FACTOR, 1);
  const both = config.has("mscale") && config.has("mscale_all_dim");
  const computed = both ? yarnAttentionFactor(factor, scale) / yarnAttentionFactor(factor, allDimensions) : yarnAttentionFactor(factor);
  return {
    type: "yarn",
    factor,
    originalContext,
    betaFast: config.number("beta_fast", BETA, 32),
    betaSlow: config.number("beta_slow", BETA, 1),
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
export function ropesFromGguf(
  config: Config,
  contextLength: number,
  headSize: number,
  tensors: RopeTensors,
): { full: RopeParameters; sliding: RopeParameters } {
  const base = config.number("rope_theta", ROPE_BASE, 10000);
  const share = config.integer("rope.dimension_count", { min: 2, max: headSize }, headSize) / headSize;
  const slidingBase = config.number("rope_local_base_freq", ROPE_BASE, base);
  return {
    full: { base, share, scaling: scalingFromGguf(config, contextLength, tensors) },
    sliding: { base: slidingBase, share, scaling: { type: "default" } },
  };
}

function scalingFromGguf(config: Config, contextLength: number, { short, long }: RopeTensors): RopeScaling {
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
