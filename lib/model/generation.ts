import { KvasirWarning, show, type Warn } from "../errors.ts";
import type { Config, Range } from "./config.ts";
import type { GenerationDefaults } from "./spec.ts";

/** Ids that any of the configs names under any of the keys, as one id or a list. They may lie outside the vocabulary: {@link knownTokens}. */
export function namedTokens(configs: readonly (Config | undefined)[], keys: readonly string[]): number[] {
  const ids = configs.flatMap((config) => (config === undefined ? [] : keys.flatMap((key) => tokensAt(config, key))));
  return [...new Set(ids)];
}

function tokensAt(config: Config, key: string): number[] {
  const value = config.value(key) ?? [];
  // An integer that a double doesn't hold is a bigint here, and outside any vocabulary.
  const ids = [value].flat().map((id: unknown) => (typeof id === "bigint" ? Number(id) : id));
  const wrong = ids.find((id) => !Number.isInteger(id));
  if (wrong !== undefined) throw config.invalid(key, `has ${show(wrong)}; expected token ids`);
  return ids as number[];
}

/** The ids that are in the vocabulary; each other one is left out with a warning, in which `place` stands. */
export function knownTokens(ids: readonly number[], vocabSize: number, place: string, warn: Warn): number[] {
  const isKnown = (id: number): boolean => id >= 0 && id < vocabSize;
  for (const id of ids)
    if (!isKnown(id))
      warn(
        new KvasirWarning("KVASIR_SETTING_IGNORED", `${place} names token ${id}; expected ids from 0 to ${vocabSize - 1}: it is left out`),
      );
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
    defaults[name] = name === "topK" ? topKOf(config, key, warn) : config.number(key, SAMPLING_RANGES[name]);
  }
  return defaults;
}

/** llama.cpp takes any negative number, vLLM -1, for no limit. */
function topKOf(config: Config, key: string, warn: Warn): number {
  const { min, max } = SAMPLING_RANGES.topK;
  const topK = config.integer(key, { min: -max, max });
  if (topK >= min) return topK;
  warn(new KvasirWarning("KVASIR_SETTING_IGNORED", `${config.place}${key} is ${topK}; expected 0 or more: no limit is set`));
  return 0;
}
