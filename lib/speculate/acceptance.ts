/** What the latest rows weigh: each counts so much less than the one after it. Chosen: a text's nature changes within some ten rows. */
const KEEP = 0.9;

/** Guesses that the expectation before any was made counts for. */
const PRIOR_GUESSES = 3;

/** How likely a guess is right if those before it were, by the latest rows. */
export class Acceptance {
  #right = 0;
  #tried = 0;

  /** A row guessed `guessed` tokens, the first `right` of which were right: the one after them was tried, too, those behind it were not. */
  add(guessed: number, right: number): void {
    this.#right = this.#right * KEEP + right;
    this.#tried = this.#tried * KEEP + Math.min(right + 1, guessed);
  }

  /** The share that was right; near `expected` while little was tried. */
  rate(expected: number): number {
    return (this.#right + PRIOR_GUESSES * expected) / (this.#tried + PRIOR_GUESSES);
  }
}

/** Tokens that a row with so many guesses gives on average: 1 + a + a² + ... */
export function expectedTokens(rate: number, guesses: number): number {
  return rate >= 1 ? guesses + 1 : (1 - rate ** (guesses + 1)) / (1 - rate);
}
