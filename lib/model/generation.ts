import { show } from "../errors.ts";
import { findStrings, type GgufFile } from "../files/gguf.ts";
import type { Config, Range } from "./config.ts";
import type { GenerationDefaults } from "./spec.ts";

/** Ids at which generation ends, from the first of the configs that names any: `eos_token_id` is one id or a list. */
export function endTokensFromConfigs(configs: readonly (Config | undefined)[], vocabSize: number): number[] {
  const config = configs.find((candidate) => candidate?.has("eos_token_id"));
  if (config === undefined) return [];
  const value = config.value("eos_token_id");
  const ids = Array.isArray(value) ? value : [value];
  for (const id of ids)
    if (!Number.isInteger(id) || id < 0 || id >= vocabSize)
      throw config.invalid("eos_token_id", `has ${show(id)}; expected ids from 0 to ${vocabSize - 1}`);
  return [...new Set(ids)];
}

// Where metadata does not name them, llama.cpp knows the tokens that end a turn or a message by their text. So do we.
const END_OF_TURN = ["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<EOT>"];
const END_OF_MESSAGE = ["<|eom_id|>"];

/** A GGUF file's end of sequence, turn and message. */
export async function endTokensFromGguf(file: GgufFile, config: Config, vocabSize: number): Promise<number[]> {
  const range = { min: 0, max: vocabSize - 1 };
  const ids = new Set<number>();
  const unnamed: string[] = [];
  for (const [key, texts] of [
    ["eos_token_id", []],
    ["eot_token_id", END_OF_TURN],
    ["eom_token_id", END_OF_MESSAGE],
  ] as const) {
    if (config.has(key)) ids.add(config.integer(key, range));
    else unnamed.push(...texts);
  }
  for (const id of (await findStrings(file, "tokenizer.ggml.tokens", new Set(unnamed))).values()) ids.add(id);
  return [...ids];
}

const DEFAULTS: readonly [name: keyof GenerationDefaults, key: string, range: Range, integer: boolean][] = [
  ["temperature", "temperature", { min: 0, max: 1e6 }, false],
  ["topK", "top_k", { min: 0, max: 2 ** 31 - 1 }, true],
  ["topP", "top_p", { min: 0, max: 1 }, false],
  ["minP", "min_p", { min: 0, max: 1 }, false],
  ["repetitionPenalty", "repetition_penalty", { min: 1e-6, max: 1e6 }, false],
];

/** The sampling parameters that a generation_config.json recommends. */
export function generationDefaults(config: Config): GenerationDefaults {
  const defaults: GenerationDefaults = {};
  for (const [name, key, range, integer] of DEFAULTS)
    if (config.has(key)) defaults[name] = integer ? config.integer(key, range) : config.number(key, range);
  return defaults;
}
