import { KvasirError } from "../errors.ts";
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
  return {
    frequencies: Float32Array.from(scaleFrequencies(plain, base, scaling)),
    scale: scaling.type === "yarn" ? scaling.attentionFactor : 1,
    interleaved,
  };
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

/** Base and scaling of one rope. */
export interface RopeParameters {
  base: number;
  scaling: RopeScaling;
}

/** Defaults where a config.json is silent. */
export interface RopeDefaults {
  base: number;
  contextLength: number;
}

/**
 * The rope of a Hugging Face config: transformers 5 keeps base and scaling together in `rope_parameters`; before, the base stood outside
 * as `rope_theta` and the rest in `rope_scaling`. Where both are there, the inside one holds.
 */
export function ropeFromConfig(config: Config, defaults: RopeDefaults): RopeParameters {
  const inside = config.object("rope_parameters") ?? config.object("rope_scaling");
  const outside = config.number("rope_theta", ROPE_BASE, defaults.base);
  if (inside === undefined) return { base: outside, scaling: { type: "default" } };
  const original = config.integer("original_max_position_embeddings", CONTEXT, defaults.contextLength);
  return ropeFromParameters(inside, { base: outside, contextLength: original });
}

/** As {@link ropeFromConfig}, from the inner object alone. */
export function ropeFromParameters(inside: Config, defaults: RopeDefaults): RopeParameters {
  inside.refuse({ partial_rotary_factor: [1] });
  const base = inside.number("rope_theta", ROPE_BASE, defaults.base);
  const key = inside.has("rope_type") ? "rope_type" : "type";
  const type = inside.string(key, "default");
  switch (type) {
    case "default":
      return { base, scaling: { type } };
    case "linear":
      return { base, scaling: { type, factor: inside.number("factor", FACTOR) } };
    case "llama3":
      return { base, scaling: llama3FromConfig(inside, defaults.contextLength) };
    case "yarn":
      return { base, scaling: yarnFromConfig(inside, defaults.contextLength) };
    default:
      throw inside.unsupported(key, type, "this kind of rope (default, linear, llama3 and yarn are known)");
  }
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

/** The rope of GGUF metadata: llama.cpp's `rope.*` keys. Its llama3 ropes show only as {@link RopeOptions.divisors}. */
export function ropeFromGguf(config: Config, defaults: RopeDefaults): RopeParameters {
  const base = config.number("rope.freq_base", ROPE_BASE, defaults.base);
  // Factors beyond yarn's own, which only architectures have that are not read.
  config.refuse({ "rope.scaling.attn_factor": [1], "rope.scaling.yarn_log_multiplier": [0], "rope.scaling.yarn_ext_factor": [1] });
  const factor = config.number("rope.scaling.factor", FACTOR, config.number("rope.scale_linear", FACTOR, 1));
  const type = config.string("rope.scaling.type", "linear");
  switch (type) {
    case "none":
      return { base, scaling: { type: "default" } };
    case "linear":
      return { base, scaling: factor === 1 ? { type: "default" } : { type, factor } };
    case "yarn":
      return { base, scaling: yarnFromGguf(config, factor, defaults.contextLength) };
    default:
      throw config.unsupported("rope.scaling.type", type, "this kind of rope (none, linear and yarn are known)");
  }
}

function yarnFromGguf(config: Config, factor: number, context: number): RopeScaling {
  return {
    type: "yarn",
    factor,
    originalContext: config.integer("rope.scaling.original_context_length", CONTEXT, context),
    betaFast: config.number("rope.scaling.yarn_beta_fast", BETA, 32),
    betaSlow: config.number("rope.scaling.yarn_beta_slow", BETA, 1),
    truncate: true,
    attentionFactor: config.number("rope.scaling.yarn_attn_factor", FACTOR, yarnAttentionFactor(factor)),
  };
}
