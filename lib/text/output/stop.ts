import { KvasirError } from "../../errors.ts";
import { wellFormed } from "../tokenizer/codec.ts";

/** A stop string as it is searched for (Knuth, Morris and Pratt 1977: each character costs constant time). */
export interface StopPattern {
  readonly text: string;
  /** [text.length] length of the longest proper prefix of text[0..i] that is also its suffix. */
  readonly failure: Int32Array;
}

/** What all matchers of the same stop strings share. A lone surrogate is U+FFFD, as in any text: it never cuts a character in two. */
export function stopPatterns(stops: readonly string[]): StopPattern[] {
  return stops.map(wellFormed).map((text) => ({ text, failure: failureTable(text) }));
}

/**
 * Finds stop strings in a stream of text, however it is cut into pieces: the one that ends first wins, the longest of those that end together.
 * Text that may turn out to be the beginning of a stop string is held back until that is decided.
 */
export class StopMatcher {
  readonly #patterns: readonly StopPattern[];
  /** How much of each pattern the text so far ends with. */
  readonly #matched: Int32Array;
  #held = "";
  #stopped = false;

  constructor(patterns: readonly StopPattern[]) {
    this.#patterns = patterns;
    this.#matched = new Int32Array(patterns.length);
  }

  /**
   * The text that is now certain; with `stopped` it ends before the stop string, and what came after is dropped. Without `mayStop` those that
   * end in this piece are text like any other; what they begin in it may still end later.
   */
  push(text: string, mayStop = true): { text: string; stopped: boolean } {
    if (this.#stopped) return { text: "", stopped: true };
    const all = this.#held + text;
    for (let i = this.#held.length; i < all.length; i++) {
      const length = this.#advance(all.charCodeAt(i));
      if (length > 0 && mayStop) {
        this.#stopped = true;
        this.#held = "";
        return { text: all.slice(0, i + 1 - length), stopped: true };
      }
    }
    const hold = this.#matched.reduce((most, matched) => Math.max(most, matched), 0);
    this.#held = all.slice(all.length - hold);
    return { text: all.slice(0, all.length - hold), stopped: false };
  }

  /** What was held back: the text has ended, so that it cannot become a stop string any more. */
  flush(): string {
    const text = this.#held;
    this.#held = "";
    this.#matched.fill(0);
    return text;
  }

  /** Length of the longest stop string that ends with this UTF-16 unit, or 0. */
  #advance(unit: number): number {
    let longest = 0;
    for (const [p, { text, failure }] of this.#patterns.entries()) {
      let matched = this.#matched[p]!;
      while (matched > 0 && text.charCodeAt(matched) !== unit) matched = failure[matched - 1]!;
      if (text.charCodeAt(matched) === unit) matched++;
      if (matched === text.length) {
        longest = Math.max(longest, matched);
        matched = failure[matched - 1]!; // the next one may begin inside it
      }
      this.#matched[p] = matched;
    }
    return longest;
  }
}

function failureTable(text: string): Int32Array {
  if (text === "") throw new KvasirError("INVALID_ARGUMENT", 'a stop string is ""; expected at least one character');
  const failure = new Int32Array(text.length);
  for (let i = 1, length = 0; i < text.length; i++) {
    while (length > 0 && text[i] !== text[length]) length = failure[length - 1]!;
    if (text[i] === text[length]) length++;
    failure[i] = length;
  }
  return failure;
}
