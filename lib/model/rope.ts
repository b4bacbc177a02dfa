import { counted, KvasirError } from "../errors.ts";
import type { RopeSpec } from "./spec.ts";

/**
 * Frequencies of rotary position embeddings, as transformers' modeling_rope_utils and ggml's rope compute them: in float64; the native side rounds them.
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

/** The rope that the options describe. */
export function buildRope({ base, size, scaling, interleaved, divisors }: RopeOptions): RopeSpec {
  if (divisors !== undefined && divisors.length !== size / 2)
    throw new KvasirError(
      "FILE_INVALID",
      `rope_freqs.weight has ${counted(divisors.length, "number")}; expected ${size / 2}, half the head size`,
    );
  const plain = Float64Array.from({ length: size / 2 }, (_, i) => base ** ((-2 * i) / size) / (divisors?.[i] ?? 1));
  const frequencies = scaleFrequencies(plain, base, scaling);
  if (scaling.type !== "longrope") return { frequencies, scale: scaling.type === "yarn" ? scaling.attentionFactor : 1, interleaved };
  const long = { beyond: scaling.originalContext, frequencies: divide(plain, scaling.longFactors) };
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
