/** A step that took more than so many times the median counts as that many: something else ran. Chosen. */
const MOST_OF_MEDIAN = 2;

/** What steps took, beside what their tokens are worth: what steps that guess nothing are known to take for as many, in milliseconds. */
export class Window {
  readonly #most: number;
  /** Of each step, oldest first. */
  readonly #ms: number[] = [];
  readonly #worth: number[] = [];
  #totalMs = 0;
  #totalWorth = 0;
  #tokens = 0;
  #once = 0;
  #oncePerToken = 0;

  /** Of the latest `most` steps. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Steps in it. */
  get count(): number {
    return this.#ms.length;
  }

  /** A step took `ms` and gave `tokens` tokens. */
  add(ms: number, worth: number, tokens: number): void {
    this.#totalMs += ms - (this.#ms.length === this.#most ? this.#ms.shift()! : 0);
    this.#totalWorth += worth - (this.#worth.length === this.#most ? this.#worth.shift()! : 0);
    this.#ms.push(ms);
    this.#worth.push(worth);
    this.#tokens += tokens;
  }

  /** `ms` were spent that are not spent again for the next tokens; each of these bears `share` of it. */
  addOnce(ms: number, share: number): void {
    this.#once += ms;
    this.#oncePerToken += ms * share;
  }

  /** Milliseconds for each that the tokens are worth, disturbed steps cut, with their share of what was spent once. NaN while it is empty. */
  get pace(): number {
    return (this.#undisturbedMs() + this.#onceShare()) / this.#totalWorth;
  }

  /** Milliseconds that it took so far beyond what its tokens take at another pace, with their share of what was spent once. */
  lost(pace: number): number {
    return this.#totalMs + this.#onceShare() - pace * this.#totalWorth;
  }

  /** The same, disturbed steps cut, with all of what was spent once. */
  lostInAll(pace: number): number {
    return this.#undisturbedMs() + this.#once - pace * this.#totalWorth;
  }

  /** Begins anew. */
  clear(): void {
    this.#ms.length = 0;
    this.#worth.length = 0;
    [this.#totalMs, this.#totalWorth, this.#tokens, this.#once, this.#oncePerToken] = [0, 0, 0, 0, 0];
  }

  #onceShare(): number {
    return Math.min(this.#once, this.#oncePerToken * this.#tokens);
  }

  #undisturbedMs(): number {
    const median = [...this.#ms].sort((a, b) => a - b)[this.#ms.length >> 1] ?? 0;
    return this.#ms.reduce((sum, ms) => sum + Math.min(ms, MOST_OF_MEDIAN * median), 0);
  }
}
