import { KvasirError } from "../../errors.ts";
import { wellFormed } from "../tokenizer/codec.ts";

/** One stop string and how much of it the text so far ends with (Knuth, Morris and Pratt 1977: each character costs constant time). */
interface Pattern {
  text: string;
  /** [text.length] length of the longest proper prefix of text[0..i] that is also its suffix. */
  failure: Int32Array;
  matched: number;
}

/**
 * Finds stop strings in a stream of text, however it is cut into pieces: the one that ends first wins, the longest of those that end together.
 * Text that may turn out to be the beginning of a stop string is held back until that is decided.
 */
export class StopMatcher {
  readonly #patterns: Pattern[];
  #held = "";
  #stopped = false;

  /** A lone surrogate in a stop string is U+FFFD, as in any text: it never cuts a character in two. */
  constructor(stops: readonly string[]) {
    this.#patterns = stops.map(wellFormed).map((text) => ({ text, failure: failureTable(text), matched: 0 }));
  }

  /** The text that is now certain; with `stopped` it ends before the stop string, and what came after is dropped. */
  push(text: string): { text: string; stopped: boolean } {
    if (this.#stopped) return { text: "", stopped: true };
    const all = this.#held + text;
    for (let i = this.#held.length; i < all.length; i++) {
      const length = this.#advance(all.charCodeAt(i));
      if (length > 0) {
        this.#stopped = true;
        this.#held = "";
        return { text: all.slice(0, i + 1 - length), stopped: true };
      }
    }
    const hold = this.#patterns.reduce((most, { matched }) => Math.max(most, matched), 0);
    this.#held = all.slice(all.length - hold);
    return { text: all.slice(0, all.length - hold), stopped: false };
  }

  /** What was held back: the text has ended, so that it cannot become a stop string any more. */
  flush(): string {
    const text = this.#held;
    this.#held = "";
    for (const pattern of this.#patterns) pattern.matched = 0;
    return text;
  }

  /** Length of the longest stop string that ends with this UTF-16 unit, or 0. */
  #advance(unit: number): number {
    let longest = 0;
    for (const pattern of this.#patterns) {
      const { text, failure } = pattern;
      let { matched } = pattern;
      while (matched > 0 && text.charCodeAt(matched) !== unit) matched = failure[matched - 1]!;
      if (text.charCodeAt(matched) === unit) matched++;
      if (matched === text.length) longest = Math.max(longest, matched);
      pattern.matched = matched;
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
