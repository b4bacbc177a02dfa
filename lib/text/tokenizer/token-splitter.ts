import { trimmedEnd } from "./normalizers.ts";
import { TextTrie } from "./trie.ts";

/** A token that is found as a whole in the text, before the tokenizer proper sees what lies between. */
export interface AddedToken {
  id: number;
  text: string;
  special: boolean;
  /** Whether it counts only where no letter, digit or underscore stands beside it. */
  singleWord: boolean;
  /** Whether white space before or after the token is dropped. */
  lstrip: boolean;
  rstrip: boolean;
}

/** Ranges of a text in UTF-16 units, ascending. */
export type Ranges = readonly (readonly [start: number, end: number])[];

/** Rust's `\w`. */
const WORD = /^[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]$/u;

/** Cuts text at added tokens, leftmost and longest first. */
export class TokenSplitter {
  readonly tokens: readonly AddedToken[];
  readonly #byText: Map<string, AddedToken>;
  readonly #trie: TextTrie;

  /** `textOf`: what stands for a token in the text, by default its own text. Of two with the same the first counts. */
  constructor(tokens: readonly AddedToken[], textOf: (token: AddedToken) => string = ({ text }) => text) {
    this.tokens = tokens;
    this.#byText = new Map([...tokens].reverse().map((token) => [textOf(token), token]));
    this.#trie = new TextTrie(this.#byText.keys());
  }

  /**
   * The tokens that lie inside one of the ranges and that `counts` accepts, and what lies between; no piece is "". A token that doesn't count is
   * text, and none is looked for inside it.
   */
  split(text: string, ranges: Ranges = [[0, text.length]], counts: (token: AddedToken) => boolean = () => true): (string | AddedToken)[] {
    const pieces: (string | AddedToken)[] = [];
    let start = 0;
    for (const [rangeStart, rangeEnd] of ranges) {
      for (let i = rangeStart; i < rangeEnd; ) {
        const length = this.#trie.longestAt(text, i, rangeEnd);
        const end = i + length;
        const token = length === 0 ? undefined : this.#byText.get(text.slice(i, end))!;
        if (token !== undefined && counts(token) && !(token.singleWord && isInWord(text, i, end))) {
          const from = token.lstrip ? Math.max(start, trimmedEnd(text.slice(0, i), start)) : i;
          const to = token.rstrip ? skipSpace(text, end) : end;
          if (from > start) pieces.push(text.slice(start, from));
          // White space that the token before has taken may be all of this one.
          if (from < to) {
            pieces.push(token);
            start = to;
          }
        }
        i = Math.max(end, i + 1);
      }
    }
    if (start < text.length) pieces.push(text.slice(start));
    return pieces;
  }
}

function isInWord(text: string, start: number, end: number): boolean {
  const before = [...text.slice(Math.max(0, start - 2), start)].at(-1) ?? "";
  return WORD.test(before) || (end < text.length && WORD.test(String.fromCodePoint(text.codePointAt(end)!)));
}

function skipSpace(text: string, position: number): number {
  const space = /\p{White_Space}*/uy;
  space.lastIndex = position;
  space.test(text);
  return space.lastIndex;
}
