import { counted, KvasirWarning, show, type Warn } from "../errors.ts";
import type { Config, Range } from "./config.ts";
import type { GenerationDefaults } from "./spec.ts";

/** Ids that any of the configs names under any of the keys, as one id or a list. They may lie outside the vocabulary: {@link knownTokens}. */
export function namedTokens(configs: readonly (Config | undefined)[], keys: readonly string[]): number[] {
  const ids = configs.flatMap((config) => (config === undefined ? [] : keys.flatMap((key) => tokensAt(config, key))));
  return [...new Set(ids)];
}

/** Most ids of a list. Chosen: models have up to ten ends. */
const MAX_NAMED = 1024;

function tokensAt(config: Config, key: string): number[] {
  const value = config.value(key) ?? [];
  // An integer that a double doesn't hold is a bigint here, and outside any vocabulary.
  const ids = [value].flat().map((id: unknown) => (typeof id === "bigint" ? Number(id) : id));
  if (ids.length > MAX_NAMED) throw config.invalid(key, `has ${counted(ids.length, "id")}; expected at most ${MAX_NAMED}`);
  const wrong = ids.find((id) => !Number.isInteger(id));
  if (wrong !== undefined) throw config.invalid(key, `has ${show(wrong)}; expected token ids`);
  return ids as number[];
}

/** The ids that are in the vocabulary; the others are left out with a warning, in which `place` stands. */
export function knownTokens(ids: readonly number[], vocabSize: number, place: string, warn: Warn): number[] {
  const isKnown = (id: number): boolean => id >= 0 && id < vocabSize;
  const unknown = ids.filter((id) => !isKnown(id));
  if (unknown.length > 0) {
    const named = unknown.length === 1 ? `token ${unknown[0]}` : `tokens ${show(unknown)}`;
    warn(new KvasirWarning("KVASIR_SETTING_IGNORED", `${place} names ${named}; expected ids from 0 to ${vocabSize - 1}: left out`));
  }
  return ids.filter(isKnown);
}

/** Ranges of the parameters for which a model may recommend values, whoever gives one. Chosen: beyond all sensible values, and finite in float32. */
export const SAMPLING_RANGES: Readonly<Record<keyof GenerationDefaults, Range>> = {
  temperature: { min: 0, max: 1000 },
  topK: { min: 0, max: 2 ** 31 - 1 },
  topP: { min: 0, max: 1 },
  minP: { min: 0, max: 1 },
  repetitionPenalty: { min: 0.001, max: 1000 },
};

const KEYS: Readonly<Record<keyof GenerationDefaults, string>> = {
  temperature: "temperature",
  topK: "top_k",
  topP: "top_p",
  minP: "min_p",
  repetitionPenalty: "repetition_penalty",
};

/** The sampling parameters that a generation_config.json recommends. */
export function generationDefaults(config: Config, warn: Warn): GenerationDefaults {
  const defaults: GenerationDefaults = {};
  for (const name of Object.keys(KEYS) as (keyof GenerationDefaults)[]) {
    const key = KEYS[name];
    if (!config.has(key)) continue;
    const value = numberAt(config, key, name === "topK");
    const taken = runnable(name, value);
    if (taken !== undefined) defaults[name] = taken;
    if (taken === value) continue;
    const { min, max } = SAMPLING_RANGES[name];
    const message = `${config.place}${key} is ${value}; expected ${min} to ${max}: ${taken ?? "no value"} is taken`;
    warn(new KvasirWarning("KVASIR_SETTING_IGNORED", message));
  }
  return defaults;
}

function numberAt(config: Config, key: string, whole: boolean): number {
  const value = config.value(key);
  const number = typeof value === "bigint" ? Number(value) : value;
  const isWrong = typeof number !== "number" || (whole && Number.isFinite(number) && !Number.isInteger(number));
  if (isWrong) throw config.invalid(key, `is ${show(value)}; expected ${whole ? "an integer" : "a number"}`);
  return number;
}

/**
 * The nearest value that runs: requests that don't ask for it must not fail by a model's recommendation, and llama.cpp and vLLM write negative
 * numbers for no limit. A penalty near 0 would repeat without end: there is none, then.
 */
function runnable(name: keyof GenerationDefaults, value: number): number | undefined {
  const { min, max } = SAMPLING_RANGES[name];
  if (value >= min && value <= max) return value;
  return Number.isNaN(value) || name === "repetitionPenalty" ? undefined : Math.min(Math.max(value, min), max);
}
