/** How fast what was measured is forgotten, and how much the expectation counts before. */
export interface AcceptancePace {
  /** What a row weighs less than the one after it: a factor. */
  keep: number;
  /** Guesses that the expectation counts for. */
  prior: number;
}

/** Of one sequence. Chosen: a text's nature changes within some ten rows, and what few rows tell of it is mostly chance. */
export const SEQUENCE_PACE: AcceptancePace = { keep: 0.9, prior: 8 };

/** What a token that is not guessed leaves of what was measured: a text that was hard to guess may no longer be. Chosen: half after 23. */
const FADE = 0.97;

/** Of all. Chosen: slow enough that a few unlucky rows at the start of an engine don't end all guessing. */
export const OVERALL_PACE: AcceptancePace = { keep: 0.99, prior: 16 };

/** How likely a guess is right if those before it were, by the latest rows. */
export class Acceptance {
  readonly #pace: AcceptancePace;
  #right = 0;
  #tried = 0;

  constructor(pace: AcceptancePace) {
    this.#pace = pace;
  }

  /** A row guessed `guessed` tokens, the first `right` of which were right: the one after them was tried, too, those behind it were not. */
  add(guessed: number, right: number): void {
    const { keep } = this.#pace;
    this.#right = this.#right * keep + right;
    this.#tried = this.#tried * keep + Math.min(right + 1, guessed);
  }

  /** A token came without a guess. */
  fade(): void {
    this.#right *= FADE;
    this.#tried *= FADE;
  }

  /** The share that was right; near `expected` while little was tried. */
  rate(expected: number): number {
    const { prior } = this.#pace;
    return (this.#right + prior * expected) / (this.#tried + prior);
  }
}

/** Tokens that a row with so many guesses gives on average: 1 + a + a² + ... */
export function expectedTokens(rate: number, guesses: number): number {
  return rate >= 1 ? guesses + 1 : (1 - rate ** (guesses + 1)) / (1 - rate);
}
