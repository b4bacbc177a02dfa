import { KvasirError, show } from "../../errors.ts";
import type { RenderedChat } from "../chat/messages.ts";
import type { TokenSplitter } from "./token-splitter.ts";
import type { Vocabulary } from "./vocabulary.ts";

/**
 * What is added to a text and parsed in it when it becomes ids.
 *
 * @category Tokenizer
 */
export interface EncodeOptions {
  /** Whether the tokens that the tokenizer adds to a prompt (BOS, EOS) are added. Default: true. */
  addSpecial?: boolean;
  /** Whether the texts of tokens that are marked special become those tokens. Other added tokens always do. Default: true. */
  parseSpecial?: boolean;
}

/** A tokenizer proper, in one thread: text to ids. It runs in the worker; tests call it directly. */
export interface Codec {
  readonly vocabulary: Vocabulary;
  /** Cuts text at the tokens marked special. */
  readonly specials: TokenSplitter;
  /** No token stands for more bytes of text than this; Infinity where text may vanish. */
  readonly bytesPerToken: number;
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

/** Lone surrogates, which UTF-8 cannot hold, become U+FFFD. */
export function wellFormed(text: string): string {
  return text.replace(/\p{Surrogate}/gu, "\ufffd");
}

/** The error for a character that has no token, where there is none for unknown text: it would vanish. */
export function noToken(character: string): KvasirError {
  const code = character.codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0");
  return new KvasirError("TOKENIZER_FAILED", `the tokenizer has no token for ${show(character)} (U+${code}) and none for unknown text`);
}
