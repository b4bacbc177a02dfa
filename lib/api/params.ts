import { types } from "node:util";
import {
  checkArray,
  checkBoolean,
  checkFunction,
  checkInteger,
  checkKeys,
  checkNumber,
  checkSignal,
  checkString,
  checkTokens,
  invalid,
  MAX_COUNT,
  reading,
} from "../check.ts";
import { isPlain } from "../errors.ts";
import { SAMPLING_RANGES } from "../model/generation.ts";
import type { GenerationDefaults } from "../model/spec.ts";
import { MAX_TOP_LOGPROBS, type SlotConfig } from "../native/addon.ts";

/**
 * How to continue a prompt. Defaults in parentheses; temperature, topK, topP, minP and repetitionPenalty take the model's own
 * (generation_config.json) where it has them, one out of range as the nearest in it, which a warning of `open` tells. Applied in this order:
 * penalties, bias, processor, temperature, top-k, typical, top-p, min-p.
 *
 * @category Requests
 */
export interface GenerateParams {
  /** Divides the logits; 0 takes the most probable token (1). */
  temperature?: number;
  /** Keeps the k most probable tokens; 0 keeps all (0). */
  topK?: number;
  /** Keeps the most probable tokens whose probabilities reach this sum (1). */
  topP?: number;
  /** Keeps tokens at least this fraction as probable as the best (0). */
  minP?: number;
  /** Keeps the tokens whose information, -log p, is closest to the entropy of the distribution, up to this sum of probabilities (1). */
  typicalP?: number;
  /** Divides positive and multiplies negative logits of tokens in prompt or output (1). */
  repetitionPenalty?: number;
  /** Subtracted from the logit of tokens in the output (0). */
  presencePenalty?: number;
  /** Subtracted from a token's logit for each time it is in the output (0). */
  frequencyPenalty?: number;
  /** Added to the logits of tokens, by id; -Infinity bans one. At most 4 M entries by `n`. */
  logitBias?: Readonly<Record<number, number>> | ReadonlyMap<number, number>;
  /** Makes sampling reproducible, whatever else runs: a whole number up to 2^53 - 1, or a bigint up to 2^64 - 1 (random). */
  seed?: number | bigint;
  /** No end of generation, no stop token and no stop string before this many tokens (0). */
  minTokens?: number;
  /** Most tokens to sample (what the context holds; more is cut to that). */
  maxTokens?: number;
  /** Goes on past the model's end-of-generation tokens (false). */
  ignoreEos?: boolean;
  /** Strings that end generation; they and what follows are left out of the text. At most 256, of 65,536 characters together. */
  stop?: string | readonly string[];
  /** Token ids that end generation, at most 16,384; their text is left out. */
  stopTokens?: readonly number[];
  /** Choices to generate, each with its own stream of random numbers (1, at most 128). */
  n?: number;
  /** Log-probabilities of the raw logits: true for the sampled tokens, a number up to 20 for as many alternatives, too (false). */
  logprobs?: boolean | number;
  /**
   * Changes the logits [vocabulary] of a choice's next token, in place or by returning others. It runs synchronously on the event loop and
   * costs only its own request, which rejects with PROCESSOR_FAILED if it throws, or leaves NaN, Infinity or no finite logit; -Infinity
   * bans a token. `context.tokens` are the prompt's and those sampled so far, `context.index` is the choice's.
   */
  logitsProcessor?: (
    logits: Float32Array,
    context: { tokens: Int32Array; promptLength: number; index: number },
    // biome-ignore lint/suspicious/noConfusingVoidType: one that changes the logits in place returns nothing
  ) => Float32Array | void;
  /** Requests with a larger priority run first (0). */
  priority?: number;
  /** Requests share cached prefixes only under the same salt, of at most 4,096 characters (""). */
  cacheSalt?: string;
  /** Special tokens written in a text prompt are parsed (true). */
  parseSpecial?: boolean;
  /** Tokens may be guessed and checked several at once, if the engine was opened with `speculate` (true). The same tokens come either way. */
  speculate?: boolean;
  /** Ends the request, which rejects with the signal's reason. */
  signal?: AbortSignal;
}

type LogitsProcessor = NonNullable<GenerateParams["logitsProcessor"]>;

/** Most stop strings, and characters of them all. Chosen: each character of the output is compared with every string. */
const MAX_STOPS = 256;
const MAX_STOP_CHARACTERS = 1 << 16;

/** Most `stopTokens`. Chosen: all tokens with a line break in them are some 3,000; each choice's slot is given all of them. */
const MAX_STOP_TOKENS = 1 << 14;

/** Most entries of `logitBias` by `n`. Chosen: each choice's slot is given all of them, and 32 MB are copied in some 10 ms. */
const MAX_BIASES = 1 << 22;

/** Longest `cacheSalt`. Chosen: it is hashed for each choice; names and keys are shorter. */
const MAX_SALT = 1 << 12;

/** {@link GenerateParams}, checked and complete: the fields of the slot's configuration, and those that the native side does not see. */
export interface CheckedParams extends Omit<SlotConfig, "endTokens" | "tokens" | "promptLength"> {
  maxTokens: number;
  ignoreEos: boolean;
  stop: string[];
  stopTokens: Int32Array;
  n: number;
  logitsProcessor: LogitsProcessor | undefined;
  priority: number;
  cacheSalt: string;
  parseSpecial: boolean;
  speculate: boolean;
  signal: AbortSignal | undefined;
}

/** The names of all parameters. */
export const PARAM_NAMES: readonly (keyof GenerateParams)[] = [
  "temperature",
  "topK",
  "topP",
  "minP",
  "typicalP",
  "repetitionPenalty",
  "presencePenalty",
  "frequencyPenalty",
  "logitBias",
  "seed",
  "minTokens",
  "maxTokens",
  "ignoreEos",
  "stop",
  "stopTokens",
  "n",
  "logprobs",
  "logitsProcessor",
  "priority",
  "cacheSalt",
  "parseSpecial",
  "speculate",
  "signal",
];

/**
 * Checks every parameter; one that is left out takes the model's default, or else the documented one. The bounds of temperature, penalties
 * and biases are chosen: beyond all sensible values, and so that changed logits stay finite in float32.
 */
export function checkParams(given: GenerateParams | undefined, defaults: GenerationDefaults, vocabSize: number): CheckedParams {
  const params = checkKeys<GenerateParams>("params", given, PARAM_NAMES);
  const { logitsProcessor, signal } = params;
  const sampling = (name: keyof GenerationDefaults, absent: number): number =>
    checkNumber(name, params[name] ?? defaults[name] ?? absent, SAMPLING_RANGES[name].min, SAMPLING_RANGES[name].max);
  const minTokens = checkInteger("minTokens", params.minTokens ?? 0, 0, MAX_COUNT);
  const maxTokens = checkInteger("maxTokens", params.maxTokens ?? MAX_COUNT, 1, MAX_COUNT);
  if (minTokens > maxTokens) throw invalid("minTokens", minTokens, `at most maxTokens (${maxTokens})`);
  const n = checkInteger("n", params.n ?? 1, 1, 128);
  return {
    temperature: sampling("temperature", 1),
    topK: checkInteger("topK", params.topK ?? defaults.topK ?? 0, SAMPLING_RANGES.topK.min, SAMPLING_RANGES.topK.max),
    topP: sampling("topP", 1),
    minP: sampling("minP", 0),
    typicalP: checkNumber("typicalP", params.typicalP ?? 1, 0, 1),
    repetitionPenalty: sampling("repetitionPenalty", 1),
    presencePenalty: checkNumber("presencePenalty", params.presencePenalty ?? 0, -1000, 1000),
    frequencyPenalty: checkNumber("frequencyPenalty", params.frequencyPenalty ?? 0, -1000, 1000),
    ...checkBias(params.logitBias, vocabSize, Math.floor(MAX_BIASES / n)),
    seed: checkSeed(params.seed),
    minTokens,
    maxTokens,
    ignoreEos: checkBoolean("ignoreEos", params.ignoreEos ?? false),
    stop: checkStop(params.stop),
    stopTokens: checkTokens(
      "stopTokens",
      params.stopTokens ?? [],
      vocabSize,
      (count) => void checkInteger("stopTokens.length", count, 0, MAX_STOP_TOKENS),
    ),
    n,
    logprobs: checkLogprobs(params.logprobs),
    logitsProcessor: logitsProcessor === undefined ? undefined : checkFunction<LogitsProcessor>("logitsProcessor", logitsProcessor),
    priority: checkInteger("priority", params.priority ?? 0, -MAX_COUNT, MAX_COUNT),
    cacheSalt: checkSalt(params.cacheSalt ?? ""),
    parseSpecial: checkBoolean("parseSpecial", params.parseSpecial ?? true),
    speculate: checkBoolean("speculate", params.speculate ?? true),
    signal: signal === undefined ? undefined : checkSignal("signal", signal),
  };
}

function checkBias(bias: unknown, vocabSize: number, most: number): { biasTokens: Int32Array; biasValues: Float64Array } {
  const entries = bias === undefined ? [] : reading("logitBias", () => biasEntries(bias, most));
  const biasTokens = new Int32Array(entries.length);
  const biasValues = new Float64Array(entries.length);
  for (const [i, [token, value]] of entries.entries()) {
    biasTokens[i] = checkInteger("a token of logitBias", token, 0, vocabSize - 1);
    biasValues[i] = value === Number.NEGATIVE_INFINITY ? value : checkNumber(`logitBias[${token}]`, value, -1e6, 1e6);
  }
  return { biasTokens, biasValues };
}

/** What `logitBias` says: `most` entries at most. A key such as "" or "1e1" is no id, though Number makes one of it. */
function biasEntries(bias: unknown, most: number): [token: unknown, value: unknown][] {
  const checkCount = (count: number): number => checkInteger("the number of entries of logitBias", count, 0, most);
  if (types.isMap(bias)) {
    const entries: [unknown, unknown][] = [];
    checkCount(Reflect.get(Map.prototype, "size", bias)); // a Map's own, whatever it says itself
    Map.prototype.forEach.call(bias, (value: unknown, token: unknown) => entries.push([token, value]));
    return entries;
  }
  if (typeof bias !== "object" || bias === null || !isPlain(bias))
    throw invalid("logitBias", bias, "a plain object or a Map from token id to number");
  const keys = Object.keys(bias);
  checkCount(keys.length);
  return keys.map((key) => [String(Number(key)) === key ? Number(key) : key, bias[key as keyof typeof bias]]);
}

function checkSeed(seed: unknown): bigint {
  if (seed === undefined) return BigInt(Math.floor(Math.random() * 2 ** 53));
  if (typeof seed === "bigint" && seed >= 0n && seed < 1n << 64n) return seed;
  if (Number.isSafeInteger(seed) && (seed as number) >= 0) return BigInt(seed as number);
  throw invalid("seed", seed, "a whole number from 0 to 2^53 - 1, or a bigint from 0 to 2^64 - 1");
}

function checkStop(stop: unknown): string[] {
  const list = typeof stop === "string" ? [stop] : checkArray("stop", stop ?? [], MAX_STOPS, "a string or an array of strings");
  let characters = 0;
  for (const [i, text] of list.entries()) {
    if (typeof text !== "string" || text === "") throw invalid(`stop[${i}]`, text, "a string of at least one character");
    characters += text.length;
  }
  checkInteger("the number of characters of stop", characters, 0, MAX_STOP_CHARACTERS);
  return list as string[];
}

function checkSalt(salt: unknown): string {
  const text = checkString("cacheSalt", salt);
  if (text.length > MAX_SALT) throw invalid("cacheSalt", text, `at most ${MAX_SALT} characters`);
  return text;
}

function checkLogprobs(logprobs: unknown): number {
  if (logprobs === undefined || logprobs === false) return -1;
  if (logprobs === true) return 0;
  if (typeof logprobs !== "number") throw invalid("logprobs", logprobs, `true, false or a whole number from 0 to ${MAX_TOP_LOGPROBS}`);
  return checkInteger("logprobs", logprobs, 0, MAX_TOP_LOGPROBS);
}

/** The seed of choice `index`: the request's own for the first, a hash of both (splitmix64) for the others. */
export function choiceSeed(seed: bigint, index: number): bigint {
  if (index === 0) return seed;
  let z = BigInt.asUintN(64, seed + BigInt(index) * 0x9e3779b97f4a7c15n);
  z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
  z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
  return z ^ (z >> 31n);
}
