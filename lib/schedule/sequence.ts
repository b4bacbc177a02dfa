import { PageTable } from "./pages.ts";

/** Where a sequence is: `waiting` has no slot and no pages, `running` has both, `finished` has given them back. */
export type SequenceState = "waiting" | "running" | "finished";

/** What a sequence asks of the scheduler. */
export interface SequenceOptions {
  /** Prompt ids; the sequence keeps its own copy. */
  prompt: Int32Array;
  /** Tokens to sample at most; prompt.length + maxTokens fits the context. */
  maxTokens: number;
  /** Larger is sooner. */
  priority: number;
  /** What the last token's row returns: `sample`, `logits` (a processor in TypeScript chooses) or `score` (every row; nothing is sampled). */
  output: "sample" | "logits" | "score";
  /** Sequences share cached pages only under the same salt. */
  cacheSalt: string;
  /** A sequence with the same prompt that should compute it first, so that this one finds its pages cached (choices of one request). */
  after?: Sequence;
}

/**
 * One stream of tokens. `computed` tokens chase `length + sampling`: prefill, decode, chunks, prefix hits and recomputation are this one arithmetic.
 *
 *     tokens    |---- prompt ----|---- output ----|-- sampling --|
 *               0            promptLength      length      length + sampling
 *     computed  |=====================>                     (tokens whose keys and values are, or by submitted steps will be, in the cache)
 */
export interface Sequence {
  readonly id: number;
  readonly options: SequenceOptions;
  readonly promptLength: number;
  state: SequenceState;
  /** Known tokens: prompt, then output. Only [0, length) is meaningful. */
  tokens: Int32Array;
  length: number;
  /** Tokens that submitted, unsettled steps will sample: one for each step under way at most. Their ids are on the device only. */
  sampling: number;
  computed: number;
  /** Prompt tokens that the prefix cache served when the sequence was first admitted; `undefined` before. */
  cachedTokens: number | undefined;
  /** Native slot, or -1. */
  slot: number;
  /** Set when a slot is taken, cleared by who tells the native side about it before the next step. */
  slotIsNew: boolean;
  /** A logits row is with the processor: the sequence waits for its token. */
  awaitingToken: boolean;
  /** Order of arrival, for ties of priority; kept over preemption. */
  readonly order: number;
  preemptions: number;
  /** hashes[p] names the prefix of p pages (prefix.ts), as far as it was needed. */
  hashes: string[];
  /** Full pages in front that other sequences may find, or could if there were a prefix cache. */
  offered: number;
  /** One table for each cache group. */
  pages: PageTable[];
}

/** A waiting sequence. */
export function createSequence(options: SequenceOptions, id: number, groups: number): Sequence {
  const promptLength = options.prompt.length;
  const tokens = new Int32Array(promptLength + Math.min(options.maxTokens, 64));
  tokens.set(options.prompt);
  return {
    ...{ id, order: id, options, promptLength, tokens, length: promptLength },
    state: "waiting",
    sampling: 0,
    computed: 0,
    cachedTokens: undefined,
    slot: -1,
    slotIsNew: false,
    awaitingToken: false,
    preemptions: 0,
    hashes: [],
    offered: 0,
    pages: Array.from({ length: groups }, () => new PageTable()),
  };
}

/** Adds a token to the output. */
export function appendToken(sequence: Sequence, token: number): void {
  if (sequence.length === sequence.tokens.length) {
    const tokens = new Int32Array(Math.min(sequence.length * 2, sequence.promptLength + sequence.options.maxTokens));
    tokens.set(sequence.tokens);
    sequence.tokens = tokens;
  }
  sequence.tokens[sequence.length++] = token;
}

/**
 * Tokens that could run now: all up to the last one known or on the device. None while a processor chooses the next, nor for what follows
 * the last token that the sequence may sample.
 */
export function pendingTokens({ options, promptLength, length, sampling, computed, awaitingToken }: Sequence): number {
  const sampledAll = options.output !== "score" && length - promptLength + sampling >= options.maxTokens;
  return awaitingToken || sampledAll ? 0 : length + sampling - computed;
}
