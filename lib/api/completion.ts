/** What a request gives back: public types of completions and chunks. */

/**
 * Tokens that a choice counts.
 *
 * @category Results
 */
export interface Usage {
  /** Including those that the tokenizer or the template added. */
  promptTokens: number;
  /** All that were sampled, the end-of-generation token and those of a stop string included. */
  completionTokens: number;
  /** Prompt tokens whose keys and values were in the prefix cache. */
  cachedTokens: number;
  /** promptTokens + completionTokens. */
  totalTokens: number;
  /** Tokens that were guessed and checked; 0 without speculation. */
  draftedTokens: number;
  /** Those of them that were right. */
  acceptedTokens: number;
}

/**
 * Where a choice's time went. Times count from the call, of a stream from the first chunk that is asked for.
 *
 * @category Results
 */
export interface Timings {
  /** Until the choice's first step: tokenizing and waiting for its turn. */
  queueMs: number;
  /** Until the choice's first token was known. */
  timeToFirstTokenMs: number;
  /** Mean gap between tokens; 0 with fewer than two. */
  interTokenLatencyMs: number;
  /** Until its last token was known. */
  totalMs: number;
  /** Prompt tokens that were computed, not cached, per second between first step and first token. */
  prefillTokensPerSecond: number;
  /** Tokens after the first per second; 0 with fewer than two. */
  tokensPerSecond: number;
  /** Share of guessed tokens that were right; 0 if none was guessed. */
  acceptanceRate: number;
  /** Mean tokens that came at once where tokens were guessed: those that were right and the one after them; 0 if none was guessed. */
  acceptedLength: number;
}

/**
 * Log-probability (natural logarithm) of a token under the raw logits.
 *
 * @category Results
 */
export interface TokenLogprob {
  /** The sampled token's id. */
  token: number;
  /** Its own; it need not be among `top`. */
  logprob: number;
  /** The most probable tokens, best first: as many as were asked for. */
  top: { token: number; logprob: number }[];
}

/**
 * What came since a choice's last chunk. A `finishReason` tells a choice's last one, which has its figures.
 *
 * @category Results
 */
export type Chunk = PartialChunk | LastChunk;

/**
 * A chunk that others of its choice follow.
 *
 * @category Results
 */
export interface PartialChunk {
  /** Which of the `n` choices. */
  index: number;
  /** Text since the last chunk; may be empty while a character or a possible stop string is incomplete. */
  text: string;
  /** Tokens since the last chunk. */
  tokens: number[];
  /** Of `tokens`, if asked for. */
  logprobs?: TokenLogprob[];
  /** In a choice's last chunk alone. */
  finishReason?: undefined;
  /** In a choice's last chunk alone. */
  usage?: undefined;
  /** In a choice's last chunk alone. */
  timings?: undefined;
}

/**
 * A choice's last chunk.
 *
 * @category Results
 */
export interface LastChunk extends Omit<PartialChunk, "finishReason" | "usage" | "timings"> {
  /** `"stop"` at an end of generation, stop token or stop string; `"length"` at maxTokens or the context's end. */
  finishReason: "stop" | "length";
  /** Tokens that the choice counts. */
  usage: Usage;
  /** Where its time went. */
  timings: Timings;
}

/**
 * A finished request. The fields beside `choices` are the first choice's.
 *
 * @category Results
 */
export interface Completion {
  /** Which of the `n` choices. */
  index: number;
  /** Without special tokens, and without the stop string. */
  text: string;
  /** All that were sampled. */
  tokens: number[];
  /** `"stop"` at an end of generation, stop token or stop string; `"length"` at maxTokens or the context's end. */
  finishReason: "stop" | "length";
  /** Tokens that the choice counts. */
  usage: Usage;
  /** Where its time went. */
  timings: Timings;
  /** Of `tokens`, if asked for. */
  logprobs?: TokenLogprob[];
  /** All `n`, in order. */
  choices: Omit<Completion, "choices">[];
}

/** Moments of a choice's life, in milliseconds of one clock. */
export interface Moments {
  arrived: number;
  firstStep: number;
  firstToken: number;
  lastToken: number;
}

/** Timings from moments and counts; `guessRows`: how often tokens were guessed. */
export function timingsOf({ arrived, firstStep, firstToken, lastToken }: Moments, usage: Usage, guessRows: number): Timings {
  const decoded = usage.completionTokens - 1;
  return {
    queueMs: firstStep - arrived,
    timeToFirstTokenMs: firstToken - arrived,
    interTokenLatencyMs: decoded > 0 ? (lastToken - firstToken) / decoded : 0,
    totalMs: lastToken - arrived,
    prefillTokensPerSecond: perSecond(usage.promptTokens - usage.cachedTokens, firstToken - firstStep),
    tokensPerSecond: perSecond(decoded, lastToken - firstToken),
    ...acceptanceOf({ rows: guessRows, guessed: usage.draftedTokens, right: usage.acceptedTokens }),
  };
}

/** What became of the guesses of `rows` rows. */
export function acceptanceOf(guesses: { readonly rows: number; readonly guessed: number; readonly right: number }): {
  acceptanceRate: number;
  acceptedLength: number;
} {
  const { rows, guessed, right } = guesses;
  return rows === 0 ? { acceptanceRate: 0, acceptedLength: 0 } : { acceptanceRate: right / guessed, acceptedLength: 1 + right / rows };
}

function perSecond(count: number, ms: number): number {
  return count > 0 && ms > 0 ? (count * 1000) / ms : 0;
}
