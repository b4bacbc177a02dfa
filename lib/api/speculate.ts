import { checkBoolean, checkInteger, checkKeys, invalid } from "../check.ts";

/** How an engine guesses tokens, to check several in one step. Whatever it guesses, requests get the tokens that they get without. */
export interface SpeculateOptions {
  /** Guesses that a text goes on as it did before: n-grams of prompt and output, and of what the engine generated under the same salt (false). */
  lookup?: boolean;
  /** Most tokens to guess at once (8 by lookup). */
  tokens?: number;
}

/** {@link SpeculateOptions}, checked and complete. */
export interface CheckedSpeculate {
  lookup: boolean;
  /** Most tokens to guess at once by lookup. */
  lookupTokens: number;
}

/** Chosen: quotations are long, and a guess that is wrong costs least of all that a lookup can do. */
const LOOKUP_TOKENS = 8;

/** Bound of `tokens`. Chosen: of 64 guesses at 0.95 each, the last counts once in 27 times. */
const MOST_TOKENS = 64;

/** Checks the option `speculate`; `undefined`: nobody guesses. */
export function checkSpeculate(given: SpeculateOptions | undefined): CheckedSpeculate | undefined {
  if (given === undefined) return undefined;
  const { lookup = false, tokens } = checkKeys<SpeculateOptions>("speculate", given, ["lookup", "tokens"]);
  if (!checkBoolean("speculate.lookup", lookup)) throw invalid("speculate", given, "lookup: true among its fields");
  const most = tokens === undefined ? undefined : checkInteger("speculate.tokens", tokens, 1, MOST_TOKENS);
  return { lookup, lookupTokens: most ?? LOOKUP_TOKENS };
}
