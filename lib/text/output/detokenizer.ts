import { setImmediate } from "node:timers/promises";
import { TextDecoder } from "node:util";
import { tokenBytes, type Vocabulary } from "../tokenizer/vocabulary.ts";

/** How a {@link Detokenizer} reads its tokens. */
export interface DetokenizerOptions {
  /** Whether special tokens' text is kept. */
  special: boolean;
  /** Whether the text starts a sequence, so that the tokenizer's prefix space is dropped; a continuation keeps its space. */
  start: boolean;
}

/** Tokens to text, one at a time: a character whose bytes are spread over tokens comes out whole with the last of them. */
export class Detokenizer {
  readonly #vocabulary: Vocabulary;
  readonly #keepSpecial: boolean;
  /** Made with the first token: thousands of requests may wait for theirs. */
  #decoder: TextDecoder | undefined;
  #dropSpace: boolean;

  constructor(vocabulary: Vocabulary, options: DetokenizerOptions) {
    this.#vocabulary = vocabulary;
    this.#keepSpecial = options.special;
    this.#dropSpace = options.start && vocabulary.prefixSpace;
  }

  /** The text that `token` completes; often a word, "" while a character is incomplete. */
  push(token: number): string {
    if (!this.#keepSpecial && this.#vocabulary.special[token] === 1) return "";
    this.#decoder ??= utf8Decoder();
    return this.#trimStart(this.#decoder.decode(tokenBytes(this.#vocabulary, token), { stream: true }));
  }

  /** What is left at the end: U+FFFD for an incomplete character. The detokenizer can then start over, as a continuation. */
  flush(): string {
    return this.#trimStart(this.#decoder?.decode() ?? "");
  }

  #trimStart(text: string): string {
    if (!this.#dropSpace || text === "") return text;
    this.#dropSpace = false;
    return text.startsWith(" ") ? text.slice(1) : text;
  }
}

/** Tokens that are decoded in one turn of the event loop. Chosen: some 10 ms. */
const DECODED_AT_ONCE = 1 << 15;

/** The raw text of a whole sequence, special tokens kept, without the BOS and the prefix space that the tokenizer added. */
export async function decodeTokens(vocabulary: Vocabulary, tokens: Int32Array | readonly number[]): Promise<string> {
  const start = vocabulary.addsBos && tokens[0] === vocabulary.bosToken ? 1 : 0;
  const decoder = utf8Decoder();
  let text = "";
  for (let i = start; i < tokens.length; i += DECODED_AT_ONCE) {
    if (i > start) await setImmediate();
    const pieces = Array.from(tokens.slice(i, i + DECODED_AT_ONCE), (token) => tokenBytes(vocabulary, token));
    text += decoder.decode(Buffer.concat(pieces), { stream: true });
  }
  text += decoder.decode();
  return vocabulary.prefixSpace && text.startsWith(" ") ? text.slice(1) : text;
}

/** A byte order mark is text like any other. */
function utf8Decoder(): TextDecoder {
  return new TextDecoder("utf-8", { ignoreBOM: true });
}
