/** Tokens that have to be equal before a place. Chosen: two are too often followed by something else, four find less. */
export const NGRAM = 3;

/** Tokens before a place that are compared at most, to find which of several places is the most like. */
const LONGEST_MATCH = 16;

/** Places that a search looks at, latest first: bounds its time where the same n-gram comes again and again. */
const MOST_TRIES = 16;

/**
 * Finds where the last tokens of one list stand in another, of which it keeps the places only: `place` p is after the n-gram of tokens
 * [p - NGRAM, p). Places of the same hash are chained, latest first, as LZ77 compressors do it: adding and finding take constant time.
 */
export class NgramIndex {
  /** By hash: the latest place, or -1. A power of two in size, at least as many as places. */
  #heads: Int32Array = new Int32Array(64).fill(-1);
  /** By place: the one before with the same hash, or -1. */
  #previous: Int32Array = new Int32Array(64);
  /** The next place to add. */
  #next = NGRAM;

  /** Adds the places up to `end` of `tokens`, which begin with what was added before. */
  add(tokens: Int32Array, end: number): void {
    if (end >= this.#previous.length) this.#grow(tokens, end);
    while (this.#next <= end) this.#link(tokens, this.#next++);
  }

  /** The place before `before` that follows most of what the first `queryEnd` tokens of `query` end with; -1 where none follows an n-gram. */
  find(tokens: Int32Array, before: number, query: Int32Array, queryEnd: number): number {
    if (queryEnd < NGRAM) return -1;
    let [best, longest] = [-1, NGRAM - 1];
    let place = this.#heads[this.#hash(query, queryEnd)]!;
    for (let tries = 0; place >= 0 && tries < MOST_TRIES && longest < LONGEST_MATCH; tries++) {
      const length = place < before ? matchLength(tokens, place, query, queryEnd) : 0;
      if (length > longest) [best, longest] = [place, length];
      place = this.#previous[place]!;
    }
    return best;
  }

  #link(tokens: Int32Array, place: number): void {
    const hash = this.#hash(tokens, place);
    this.#previous[place] = this.#heads[hash]!;
    this.#heads[hash] = place;
  }

  #grow(tokens: Int32Array, end: number): void {
    const size = 2 ** Math.ceil(Math.log2(end + 1));
    this.#heads = new Int32Array(size).fill(-1);
    this.#previous = new Int32Array(size);
    for (let place = NGRAM; place < this.#next; place++) this.#link(tokens, place);
  }

  /** Of the n-gram before a place (multiplicative hashing, the upper bits). */
  #hash(tokens: Int32Array, place: number): number {
    let hash = 0;
    for (let i = place - NGRAM; i < place; i++) hash = Math.imul(hash ^ tokens[i]!, 0x9e3779b1) ^ (hash >>> 15);
    return (hash >>> 7) & (this.#heads.length - 1);
  }
}

/** How many tokens before both places are equal, at most LONGEST_MATCH. */
export function matchLength(tokens: Int32Array, place: number, query: Int32Array, queryEnd: number): number {
  const most = Math.min(place, queryEnd, LONGEST_MATCH);
  let length = 0;
  while (length < most && tokens[place - 1 - length] === query[queryEnd - 1 - length]) length += 1;
  return length;
}
