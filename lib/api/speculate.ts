import { checkBoolean, checkInteger, checkKeys, checkString, invalid } from "../check.ts";

/**
 * How an engine guesses tokens, to check several in one step. Whatever it guesses, requests get the tokens that they get without.
 *
 * @category Engine
 */
export interface SpeculateOptions {
  /** Guesses that a text goes on as it did before: n-grams of prompt and output, and of what the engine generated under the same salt (false). */
  lookup?: boolean;
  /**
   * A smaller model that guesses, named as `Engine.open` names models; its tokenizer has to have the same tokens. With `lookup`, too, it
   * guesses where nothing is found.
   */
  draft?: string;
  /** Most tokens to guess at once (4 by a model, 8 by lookup). */
  tokens?: number;
}

/** {@link SpeculateOptions}, checked and complete. */
export interface CheckedSpeculate {
  lookup: boolean;
  draft: string | undefined;
  /** Most tokens to guess at once, by a model and by lookup. */
  draftTokens: number;
  lookupTokens: number;
}

/** Chosen: each guess of a model takes a pass of it, and the fifth would be needed half as often as the first. */
const DRAFT_TOKENS = 4;

/** Chosen: quotations are long, and a guess that is wrong costs least of all that a lookup can do. */
const LOOKUP_TOKENS = 8;

/** Bound of `tokens`. Chosen: of 64 guesses at 0.95 each, the last counts once in 27 times. */
const MOST_TOKENS = 64;

const KEYS: readonly (keyof SpeculateOptions)[] = ["lookup", "draft", "tokens"];

/** The option's own copy of what the caller gave. */
export function copySpeculate(given: SpeculateOptions): SpeculateOptions {
  if (typeof given === "boolean") throw invalid("speculate", given, "{ lookup: true } or { draft: MODEL }");
  return checkKeys<SpeculateOptions>("speculate", given, KEYS);
}

/** Checks the option `speculate`; `undefined`: nobody guesses. */
export function checkSpeculate(given: SpeculateOptions | undefined): CheckedSpeculate | undefined {
  if (given === undefined) return undefined;
  const { lookup = false, draft, tokens } = copySpeculate(given);
  checkBoolean("speculate.lookup", lookup);
  if (draft !== undefined && checkString("speculate.draft", draft) === "")
    throw invalid("speculate.draft", draft, "a model's path or name");
  if (!lookup && draft === undefined) throw invalid("speculate", given, "lookup: true or a draft model");
  const most = tokens === undefined ? undefined : checkInteger("speculate.tokens", tokens, 1, MOST_TOKENS);
  return { lookup, draft, draftTokens: most ?? DRAFT_TOKENS, lookupTokens: most ?? LOOKUP_TOKENS };
}
