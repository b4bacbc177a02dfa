import { KvasirError } from "../../errors.ts";
import { Bpe } from "./bpe.ts";
import { bpeParts, hasAllByteTokens, missingText } from "./bpe-json.ts";
import type { Codec, EncodeOptions } from "./codec.ts";
import { endTokensOf } from "./ends.ts";
import { compileNormalizer, type Normalizer } from "./normalizers.ts";
import { type PieceConverter, pieceConverter } from "./piece-converter.ts";
import type { Affixes } from "./post-processor.ts";
import { compilePreTokenizer, type PreTokenizer } from "./pre-tokenizers.ts";
import { type AddedToken, TokenSplitter } from "./token-splitter.ts";
import { type AddedTokenJson, malformed, type TokenizerJson } from "./tokenizer-json.ts";
import { buildVocabulary, type Vocabulary } from "./vocabulary.ts";

/** What a {@link HuggingFaceCodec} is made of. */
export interface HuggingFaceParts {
  json: TokenizerJson;
  affixes: Affixes;
  /** The texts of BOS and EOS; "" if there is none. */
  bosText: string;
  eosText: string;
  /** Names the tokenizer in messages. */
  file: string;
}

/**
 * What a text may grow to under a normalizer or as bytes, in UTF-16 units: bytes are 3 of 1 at most, a word gains a space; NFKC makes up to 18
 * of 1, for which short texts have room. Capped, since pieces of more would overfill a thread's heap.
 */
function growthLimit(length: number): number {
  return Math.min(4 * length + 2 ** 20, 2 ** 23);
}

/**
 * A tokenizer.json, as Hugging Face's Rust library `tokenizers` means it: added tokens are found in the text, those that are marked normalized in
 * the normalized text; what lies between is normalized, cut into words and merged.
 */
export class HuggingFaceCodec implements Codec {
  readonly vocabulary: Vocabulary;
  readonly specials: TokenSplitter;
  readonly bytesPerToken: number;
  /** Text that has no token, where there is none for unknown text; `undefined`: every text has tokens. */
  readonly missing: string | undefined;
  readonly #affixes: Affixes;
  readonly #normalizer: Normalizer;
  readonly #preTokenizer: PreTokenizer;
  readonly #model: Bpe;
  /** Finds the tokens that stand in the text as it is given. */
  readonly #asGiven: TokenSplitter;
  /** Finds those that stand in the normalized text, where their texts are normalized, too. */
  readonly #normalized: TokenSplitter;

  constructor({ json, affixes, bosText, eosText, file }: HuggingFaceParts) {
    const converter = pieceConverter(json.decoder, file);
    this.#affixes = affixes;
    this.#normalizer = compileNormalizer(json.normalizer, file);
    this.#preTokenizer = compilePreTokenizer(json.pre_tokenizer, this.#normalizer.shrink < Number.POSITIVE_INFINITY, file);
    const model = bpeParts(json, this.#preTokenizer.bytesLast, file);
    this.#model = new Bpe(model);
    const tokens = [...json.added_tokens]
      .sort((a, b) => Number(b.special === true) - Number(a.special === true))
      .map((token) => ({ ...addedToken(token), normalized: token.normalized ?? token.special !== true }));
    const texts = new Map(tokens.map((token) => [token.id, token.normalized ? this.#normalizedText(token.text, file) : token.text]));
    const normalized = tokens.filter((token) => token.normalized);
    this.#asGiven = new TokenSplitter(tokens.filter((token) => !token.normalized));
    this.#normalized = new TokenSplitter(normalized, (token) => texts.get(token.id)!);
    this.specials = new TokenSplitter(tokens.filter(({ special }) => special));
    this.vocabulary = vocabularyOf(json, affixes, texts, converter, { bosText, eosText, file });
    const seesBytes = this.#preTokenizer.bytes ?? this.#normalizer.bytes;
    this.missing = missingText(model, seesBytes);
    // An unknown token may stand for any number of characters, if there can be one.
    const fuses = model.fusesUnknown && !hasAllByteTokens(model);
    const loses = !this.#preTokenizer.keeps || fuses || tokens.some(({ lstrip, rstrip }) => lstrip || rstrip);
    this.bytesPerToken = loses ? Number.POSITIVE_INFINITY : this.#normalizer.shrink * longestPiece(json, seesBytes);
  }

  encode(text: string, { addSpecial, parseSpecial }: Required<EncodeOptions>): number[] {
    const { before, after } = this.#affixes;
    const ids = addSpecial ? [...before] : [];
    this.#encode(text, true, parseSpecial, ids);
    if (addSpecial) ids.push(...after);
    return ids;
  }

  encodePlain(text: string, first: boolean): number[] {
    const ids: number[] = [];
    this.#encode(text, first, false, ids);
    return ids;
  }

  /** What stands for a token in normalized text, and what it is decoded to. */
  #normalizedText(text: string, file: string): string {
    const normalized = this.#normalizer.apply(text, growthLimit(text.length));
    if (normalized === "") throw malformed(file, "the normalized text of an added token", normalized, "a text");
    return normalized;
  }

  #encode(text: string, first: boolean, parseSpecial: boolean, ids: number[]): void {
    try {
      this.#encodeSections(text, first, parseSpecial, ids);
    } catch (cause) {
      // A string too long for V8, or a regular expression that used up its stack.
      if (!(cause instanceof RangeError)) throw cause;
      throw new KvasirError("TOKENIZER_FAILED", `the tokenizer failed on the text: ${cause.message}`, { cause });
    }
  }

  #encodeSections(text: string, first: boolean, parseSpecial: boolean, ids: number[]): void {
    const limit = growthLimit(text.length);
    const counts = ({ special }: AddedToken): boolean => parseSpecial || !special;
    this.#asGiven.split(text, undefined, counts).forEach((section, s) => {
      if (typeof section !== "string") {
        ids.push(section.id);
        return;
      }
      const normalized = this.#normalizer.apply(section, limit);
      this.#normalized.split(normalized, undefined, counts).forEach((piece, p) => {
        if (typeof piece !== "string") ids.push(piece.id);
        else for (const word of this.#preTokenizer.cut(piece, first && s === 0 && p === 0, limit)) this.#model.encode(word, ids);
      });
    });
  }
}

function addedToken({ id, content, special, single_word, lstrip, rstrip }: AddedTokenJson): AddedToken {
  const flags = { singleWord: single_word === true, lstrip: lstrip === true, rstrip: rstrip === true };
  return { id, text: content, special: special === true, ...flags };
}

/** Bytes of text that the longest piece stands for; 4 at least, since a character may become one unknown token. */
function longestPiece({ model, added_tokens }: TokenizerJson, seesBytes: boolean): number {
  let longest = 4;
  for (const piece of model.vocab.keys()) longest = Math.max(longest, seesBytes ? piece.length : Buffer.byteLength(piece));
  for (const { content } of added_tokens) longest = Math.max(longest, Buffer.byteLength(content));
  return longest;
}

function vocabularyOf(
  json: TokenizerJson,
  affixes: Affixes,
  added: ReadonlyMap<number, string>,
  converter: PieceConverter,
  { bosText, eosText, file }: Pick<HuggingFaceParts, "bosText" | "eosText" | "file">,
): Vocabulary {
  const pieces: (Uint8Array | undefined)[] = [];
  const { vocab } = json.model;
  for (const [piece, id] of vocab) pieces[id] = converter.bytesOf(piece);
  for (const [id, text] of added) pieces[id] = converter.bytesOf(text);
  const addedIds = new Map(json.added_tokens.map(({ id, content }) => [content, id]));
  const known = (text: string): number | undefined => addedIds.get(text) ?? vocab.get(text);
  const idOf = (text: string): number => (text === "" ? -1 : (known(text) ?? -1));
  const stray = [...affixes.before, ...affixes.after].find((id) => pieces[id] === undefined);
  if (stray !== undefined)
    throw new KvasirError("FILE_INVALID", `${file}: the post-processor adds token ${stray}, which is not in the vocabulary`);
  const specialIds = json.added_tokens.filter(({ special }) => special === true).map(({ id }) => id);
  const bosToken = idOf(bosText);
  const addsBos = bosToken >= 0 && affixes.before[0] === bosToken;
  const eosToken = idOf(eosText);
  return buildVocabulary(pieces, specialIds, {
    bosToken,
    eosToken,
    endTokens: endTokensOf(eosToken, known),
    addsBos,
    prefixSpace: converter.prefixSpace,
    bosText,
    eosText,
  });
}
