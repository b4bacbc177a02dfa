/**
 * The bytes of every token, made once by the tokenizer's worker and transferred: all that the main thread needs to turn tokens into text.
 * Token t is `bytes[offsets[t] .. offsets[t + 1])`; ids without a token are empty.
 */
export interface Vocabulary {
  /** Ids are below this. */
  size: number;
  /** [size + 1] */
  offsets: Uint32Array;
  /** UTF-8, but one token need not be whole characters. */
  bytes: Uint8Array;
  /** [size] 1: a special token, left out of completions' text. */
  special: Uint8Array;
  /** -1: none. */
  bosToken: number;
  /** -1: none. */
  eosToken: number;
  /** Ids of all tokens that end a text, a turn or a message, `eosToken` among them. */
  endTokens: number[];
  /** Whether the tokenizer itself puts BOS before a prompt. */
  addsBos: boolean;
  /** Whether it puts a space before a text, which decoding drops at the start of a sequence. */
  prefixSpace: boolean;
  /** The tokens' texts, for templates; "" when there is none. */
  bosText: string;
  eosText: string;
}

/** The fields of a vocabulary that {@link buildVocabulary} copies and does not compute. */
export type VocabularyFacts = Omit<Vocabulary, "size" | "offsets" | "bytes" | "special">;

/** A vocabulary from the bytes of each id (holes are ids without a token). */
export function buildVocabulary(pieces: (Uint8Array | undefined)[], specialTokens: Iterable<number>, facts: VocabularyFacts): Vocabulary {
  const size = pieces.length;
  const offsets = new Uint32Array(size + 1);
  for (let token = 0; token < size; token++) offsets[token + 1] = offsets[token]! + (pieces[token]?.length ?? 0);
  const bytes = new Uint8Array(offsets[size]!);
  for (let token = 0; token < size; token++) bytes.set(pieces[token] ?? [], offsets[token]);
  const special = new Uint8Array(size);
  for (const token of specialTokens) special[token] = 1;
  return { size, offsets, bytes, special, ...facts };
}

/** The bytes of one token: a view; empty for ids that are no token. */
export function tokenBytes({ size, offsets, bytes }: Vocabulary, token: number): Uint8Array {
  return token >= 0 && token < size ? bytes.subarray(offsets[token], offsets[token + 1]) : bytes.subarray(0, 0);
}
