import type { Sequence } from "../schedule/sequence.ts";
import { NGRAM, NgramIndex } from "./ngrams.ts";

/** Tokens that are kept of one salt. Chosen: some hundred answers, in 1 MB with their index. */
const MOST_TOKENS = 65536;

/** Stands between two texts: no token, so no n-gram of a sequence reaches over it. */
const BORDER = -1;

/** What sequences have generated, oldest first; when it is full the older half is forgotten. */
export class History {
  tokens: Int32Array = new Int32Array(256);
  length = 0;
  #index = new NgramIndex();

  /** Takes in the output of a sequence, and as much of its prompt as lets the first token be found. */
  append({ tokens, length, promptLength }: Sequence): void {
    if (length === promptLength) return;
    const from = Math.max(0, promptLength - NGRAM, length - MOST_TOKENS / 2);
    this.#makeRoom(length - from + 1);
    this.tokens.set(tokens.subarray(from, length), this.length);
    this.length += length - from + 1;
    this.tokens[this.length - 1] = BORDER;
    this.#index.add(this.tokens, this.length);
  }

  /** The place of what follows the tokens [0, end) of `query`, or -1. */
  find(query: Int32Array, end: number): number {
    return this.#index.find(this.tokens, this.length - 1, query, end);
  }

  #makeRoom(count: number): void {
    if (this.length + count > MOST_TOKENS) {
      this.tokens.copyWithin(0, this.length - MOST_TOKENS / 2, this.length);
      this.length = MOST_TOKENS / 2;
      this.#index = new NgramIndex();
      this.#index.add(this.tokens, this.length);
    }
    if (this.length + count <= this.tokens.length) return;
    const larger = new Int32Array(Math.min(MOST_TOKENS + 1, Math.max(this.length + count, 2 * this.tokens.length)));
    larger.set(this.tokens.subarray(0, this.length));
    this.tokens = larger;
  }
}
