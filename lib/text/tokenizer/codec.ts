import type { RenderedChat } from "../chat/messages.ts";
import { TextTrie } from "./trie.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** What is added to a text and parsed in it when it becomes ids. */
export interface EncodeOptions {
  /** Whether the tokens that the tokenizer adds to a prompt (BOS, EOS) are added. Default: true. */
  addSpecial?: boolean;
  /** Whether the texts of tokens that are marked special become those tokens. Other added tokens always do. Default: true. */
  parseSpecial?: boolean;
}

/** A token that is found as a whole in the text, before the tokenizer proper sees what lies between. */
export interface AddedToken {
  id: number;
  text: string;
  special: boolean;
  /** Whether white space before or after the token is dropped. */
  lstrip: boolean;
  rstrip: boolean;
}

/** A tokenizer proper, in one thread: text to ids. It runs in the worker; tests call it directly. */
export interface Codec {
  readonly vocabulary: Vocabulary;
  /** Cuts text at the tokens marked special. */
  readonly specials: TokenSplitter;
  encode(text: string, options: Required<EncodeOptions>): number[];
  /** Ids of text without special tokens; `first`: the text starts the sequence. */
  encodePlain(text: string, first: boolean): number[];
}

/** Ids of a rendered chat: special tokens are those that lie wholly inside what the template wrote; all else is text. */
export function encodeChat(codec: Codec, { text, written }: RenderedChat): number[] {
  const ids: number[] = [];
  let first = true;
  for (const piece of codec.specials.split(text, written)) {
    for (const id of typeof piece === "string" ? codec.encodePlain(piece, first) : [piece.id]) ids.push(id);
    first = false;
  }
  return ids;
}

/** Cuts text at added tokens, leftmost and longest first. */
export class TokenSplitter {
  readonly tokens: readonly AddedToken[];
  readonly #byText: Map<string, AddedToken>;
  readonly #trie: TextTrie;

  constructor(tokens: readonly AddedToken[]) {
    this.tokens = tokens;
    this.#byText = new Map(tokens.map((token) => [token.text, token]));
    this.#trie = new TextTrie(this.#byText.keys());
  }

  /** The tokens in the text, each of which lies inside one of the ranges, and what lies between; no piece is "". */
  split(text: string, ranges: readonly (readonly [start: number, end: number])[] = [[0, text.length]]): (string | AddedToken)[] {
    const pieces: (string | AddedToken)[] = [];
    let start = 0;
    for (const [rangeStart, end] of ranges) {
      for (let i = Math.max(start, rangeStart); i < end; ) {
        const length = this.#trie.longestAt(text, i, end);
        if (length === 0) {
          i++;
          continue;
        }
        const token = this.#byText.get(text.slice(i, i + length))!;
        const before = text.slice(start, i);
        pieces.push(token.lstrip ? before.trimEnd() : before, token);
        i += length;
        if (token.rstrip) i = skipSpace(text, i);
        start = i;
      }
    }
    pieces.push(text.slice(start));
    return pieces.filter((piece) => piece !== "");
  }
}

function skipSpace(text: string, position: number): number {
  const space = /\s*/y;
  space.lastIndex = position;
  space.test(text);
  return space.lastIndex;
}

/** Lone surrogates, which UTF-8 cannot hold, become U+FFFD. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}
