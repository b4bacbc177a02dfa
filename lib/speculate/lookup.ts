import type { Sequence } from "../schedule/sequence.ts";
import { History } from "./history.ts";
import { matchLength, NgramIndex } from "./ngrams.ts";
import type { Proposer } from "./proposer.ts";

/** Salts whose history is kept, those used last. Chosen: 16 MB at most. */
const MOST_SALTS = 16;

/**
 * Guesses that a text goes on as it did where the same tokens stood before: in the sequence's prompt and output, or in what other sequences
 * of the same salt generated (nobody meets another caller's text, not even in how long a token takes). Answers that quote, edit or repeat
 * gain most.
 */
export class Lookup implements Proposer {
  readonly most: number;
  readonly drafts = false;
  /** Of each sequence's own tokens. */
  readonly #indices = new Map<Sequence, NgramIndex>();
  /** By salt, the one used last at the end. */
  readonly #histories = new Map<string, History>();

  constructor(most: number) {
    this.most = most;
  }

  propose(sequence: Sequence, most: number): number {
    const { tokens, length, options } = sequence;
    const index = this.#indices.get(sequence) ?? new NgramIndex();
    this.#indices.set(sequence, index);
    index.add(tokens, length);
    const own = index.find(tokens, length, tokens, length);
    const history = this.#histories.get(options.cacheSalt);
    const place = history?.find(tokens, length) ?? -1;
    const isOwn =
      place < 0 || (own >= 0 && matchLength(tokens, own, tokens, length) >= matchLength(history!.tokens, place, tokens, length));
    if (!isOwn) return copy(history!.tokens, place, sequence, most);
    return own < 0 ? 0 : copy(tokens, own, sequence, most);
  }

  lack(): number {
    return 0;
  }

  ended(sequence: Sequence): void {
    this.#indices.delete(sequence);
    const { cacheSalt } = sequence.options;
    const history = this.#histories.get(cacheSalt) ?? new History();
    history.append(sequence);
    this.#histories.delete(cacheSalt);
    this.#histories.set(cacheSalt, history);
    if (this.#histories.size > MOST_SALTS) this.#histories.delete(this.#histories.keys().next().value!);
  }
}

/**
 * What follows `place` becomes what follows the sequence's known tokens: first of all those that are on their way, which it takes for right.
 * Where both are in the same text it may run into what it has just written: a text that repeats goes on repeating.
 */
function copy(from: Int32Array, place: number, { tokens, length, sampling }: Sequence, most: number): number {
  let count = 0;
  while (count < sampling + most && from[place + count]! >= 0) {
    tokens[length + count] = from[place + count]!;
    count += 1;
  }
  return Math.max(0, count - sampling);
}
