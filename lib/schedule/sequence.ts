import { checkInteger } from "../check.ts";
import { counted, KvasirError } from "../errors.ts";
import { invariant, PageTable } from "./pages.ts";

/**
 * Where a sequence is: `waiting` has no pages, and no slot unless its processor has yet to choose a token there; `running` has both,
 * `finished` has given them back.
 */
export type SequenceState = "waiting" | "running" | "finished";

/** Tokens [start, end) of a prompt that stand for a picture or other media. */
export interface MediaSpan {
  start: number;
  end: number;
  /** Names the content: the ids in the prompt are the same placeholder for all. */
  hash: string;
}

/** How well guesses of tokens did. */
export interface GuessCounts {
  /** Rows that had any, and gave their tokens. */
  rows: number;
  /** Tokens that these guessed. */
  guessed: number;
  /** Those of them that were right. */
  right: number;
}

/** What a sequence asks of the scheduler. */
export interface SequenceOptions {
  /** Prompt ids, which stay as they are: sequences share them. */
  prompt: Int32Array;
  /** Tokens to sample at most; prompt.length + maxTokens fits the context. */
  maxTokens: number;
  /** Larger is sooner. */
  priority: number;
  /** What the last token's row returns: `sample`, `logits` (a processor in TypeScript chooses) or `score` (every row; nothing is sampled). */
  output: "sample" | "logits" | "score";
  /** Sequences share cached pages only under the same salt. */
  cacheSalt: string;
  /** What changes the model's weights for this sequence, by name; "" is nothing. Pages are shared under the same one only. */
  adapter: string;
  /** Pages that these overlap, and those after them, are shared under the same media only. */
  media: readonly MediaSpan[];
  /** Its rows may guess what follows; those of output `sample` alone do. */
  speculate: boolean;
  /** Of output `score`: its rows give logits, too (false). */
  logits?: boolean;
  /** A sequence with the same prompt that should compute it first, so that this one finds its pages cached (choices of one request). */
  after?: Sequence;
}

/**
 * One stream of tokens. `computed` tokens chase `length + sampling`: prefill, decode, chunks, prefix hits and recomputation are this one arithmetic.
 *
 *     tokens    |---- prompt ----|---- output ----|-- sampling --|
 *               0            promptLength      length      length + sampling
 *     computed  |=====================>                     (tokens whose keys and values are, or by submitted steps will be, in the cache)
 *
 * A row may ask for n tokens and give m of them, 1 to n: its tokens are the last known one, or the one on the device, and n - 1 guesses of
 * what follows, which stand in `tokens` behind the tokens that are known or on their way (`Proposer.propose`). The guesses after the first wrong
 * one are void, and so is what was computed for them. With n = 4 and m = 2:
 *
 *     submitted   |---- known ----|  a   b   c   .  |      sampling 4: the row ran the last known token and the guesses a, b, c
 *     computed    |============================>
 *     settled     |---- known ----|  a   x  |              a was right, and x follows it in place of b: length has grown by 2
 *     computed    |====================>                   4 - 2 less than before: x runs next, as any last token does
 */
export interface Sequence {
  readonly id: number;
  readonly options: SequenceOptions;
  readonly promptLength: number;
  state: SequenceState;
  /** Known tokens: prompt, then output; the caller's prompt until something follows it. What follows `length` means something only to a row that guesses, until it is submitted. */
  tokens: Int32Array;
  length: number;
  /** Tokens that submitted, unsettled rows may give: the sum of `asked`. Their ids are on the device only. */
  sampling: number;
  /** Tokens that each of these rows asked for, oldest first. */
  asked: number[];
  /**
   * Not to be planned until the last of these rows settles, or `resume`: the token that follows is not on the device, since a processor
   * chooses it, or it is not known where the next row begins, since the last asked for several tokens.
   */
  held: boolean;
  computed: number;
  /** Tokens whose keys and values are, or by submitted steps will be, in the draft model's cache: it runs what it lacks when it drafts. */
  draftComputed: number;
  /** Of a waiting sequence: known tokens that the prefix cache had when it was looked up first; `undefined` before. 0 while it runs. */
  expected: number | undefined;
  /** Of a running sequence: tokens that are kept for it in the step that is planned. */
  share: number;
  /** Of a running sequence that wants logits: tokens of which it may have some in the step that is planned. */
  logitRows: number;
  /** The latest step in which it had any, or could not yet. */
  logitStep: number;
  /** Prompt tokens that the prefix cache served when the sequence was first admitted; `undefined` before. */
  cachedTokens: number | undefined;
  /** Native slot, or -1. */
  slot: number;
  /** Set when a slot is taken, cleared by who tells the native side about it before the next step. */
  slotIsNew: boolean;
  /** Order of arrival, for ties of priority; kept over preemption. */
  readonly order: number;
  preemptions: number;
  /** What its rows guessed so far. */
  guesses: GuessCounts;
  /** hashes[p] names the prefix of p pages (prefix.ts), as far as it was needed. */
  hashes: string[];
  /** Full pages in front that other sequences may find, or could if there were a prefix cache. */
  offered: number;
  /** Likewise in the draft model's groups. */
  draftOffered: number;
  /** The latest step that was submitted when a page that this sequence found in the cache got its name; 0: none. */
  foundStep: number;
  /** One table for each cache group. */
  pages: PageTable[];
}

/** Throws PROMPT_EMPTY, PROMPT_TOO_LONG or INVALID_ARGUMENT unless a context of `maxContext` tokens holds prompt and output. */
export function checkFits({ prompt, maxTokens, output }: SequenceOptions, maxContext: number): void {
  const sampled = output === "score" ? 0 : 1;
  if (prompt.length === 0) throw new KvasirError("PROMPT_EMPTY", "the prompt has no token; expected at least one");
  const most = maxContext - sampled;
  if (prompt.length > most) {
    throw new KvasirError(
      "PROMPT_TOO_LONG",
      `the prompt has ${counted(prompt.length, "token")}; expected at most ${most}, which fit the context of ${maxContext}`,
    );
  }
  checkInteger("maxTokens", maxTokens, sampled, sampled === 0 ? 0 : maxContext - prompt.length);
}

/** A waiting sequence. */
export function createSequence(options: SequenceOptions, id: number, groups: number): Sequence {
  const promptLength = options.prompt.length;
  return {
    id,
    options,
    promptLength,
    state: "waiting",
    tokens: options.prompt,
    length: promptLength,
    sampling: 0,
    asked: [],
    held: false,
    computed: 0,
    draftComputed: 0,
    expected: undefined,
    share: 0,
    logitRows: Number.POSITIVE_INFINITY,
    logitStep: 0,
    cachedTokens: undefined,
    slot: -1,
    slotIsNew: false,
    order: id,
    preemptions: 0,
    guesses: { rows: 0, guessed: 0, right: 0 },
    hashes: [],
    offered: 0,
    draftOffered: 0,
    foundStep: 0,
    pages: Array.from({ length: groups }, () => new PageTable()),
  };
}

/** A submitted row may give `count` tokens. */
export function askFor(sequence: Sequence, count: number): void {
  sequence.sampling += count;
  sequence.asked.push(count);
  sequence.held = sequence.options.output === "logits" || count > 1;
}

/** The last row that asked for tokens is not submitted after all. */
export function takeBack(sequence: Sequence): void {
  sequence.sampling -= sequence.asked.pop()!;
  sequence.held = false; // it was planned, so nothing before it holds the sequence
}

/** The oldest row that asked for tokens gave `tokens` [from, to). What it did not get is no longer on its way, nor was it computed. */
export function receive(sequence: Sequence, tokens: Int32Array, from: number, to: number): void {
  const asked = sequence.asked.shift() ?? 0;
  const count = to - from;
  invariant(count >= 1 && count <= asked, `sequence ${sequence.id} got ${counted(count, "token")} from a row that asked for ${asked}`);
  reserveTokens(sequence, count);
  for (let i = from; i < to; i++) sequence.tokens[sequence.length++] = tokens[i]!;
  sequence.sampling -= asked;
  if (asked > 1) countGuesses(sequence.guesses, asked - 1, count - 1);
  if (sequence.sampling === 0) sequence.held = false; // a younger row may hold it again
  // Of a preempted sequence nothing is computed any more. Otherwise no row follows one that asked for several tokens.
  if (sequence.state === "running") sequence.computed -= asked - count;
  sequence.draftComputed = Math.min(sequence.draftComputed, sequence.computed);
}

/** A row of `guessed` tokens has come, the first `right` of which were right. */
export function countGuesses(counts: GuessCounts, guessed: number, right: number): void {
  counts.rows += 1;
  counts.guessed += guessed;
  counts.right += right;
}

/** Room for `count` tokens behind the known ones. The array is another afterwards where there was too little. */
export function reserveTokens(sequence: Sequence, count: number): void {
  const { tokens, length, promptLength, options } = sequence;
  if (length + count <= tokens.length) return;
  const larger = new Int32Array(Math.max(length + count, Math.min(length * 2, promptLength + options.maxTokens)));
  larger.set(tokens);
  sequence.tokens = larger;
}

/** Tokens that the sequence may still get beyond those that are known or on their way. */
export function tokensLeft({ options, promptLength, length, sampling }: Sequence): number {
  return options.maxTokens - (length - promptLength + sampling);
}

/** Whether logits come back to JavaScript: for a processor, which needs them of the last token, or with a score, of each. */
export function wantsLogits({ options: { output, logits } }: Sequence): boolean {
  return output === "logits" || logits === true;
}

/**
 * Tokens that could run now: all up to the last one known or on the device. None while the sequence is held, nor for what follows the last
 * token that it may sample, nor those whose logits have to wait.
 */
export function pendingTokens(sequence: Sequence): number {
  const { options, length, sampling, computed, held, logitRows } = sequence;
  const isScore = options.output === "score";
  if (held || (!isScore && tokensLeft(sequence) <= 0)) return 0;
  const tokens = length + sampling - computed;
  return isScore ? Math.min(tokens, logitRows) : tokens - (logitRows === 0 ? 1 : 0);
}
