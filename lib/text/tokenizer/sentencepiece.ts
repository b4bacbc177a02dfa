import { byteTokensOf } from "./byte-level.ts";
import { type Codec, type EncodeOptions, noToken } from "./codec.ts";
import { MergeQueue } from "./merge-queue.ts";
import type { Affixes } from "./post-processor.ts";
import { SpacedWords } from "./spaced-words.ts";
import { type AddedToken, TokenSplitter } from "./token-splitter.ts";
import type { Vocabulary } from "./vocabulary.ts";
import { WordCache } from "./word-cache.ts";

/** What a {@link SentencePieceCodec} is made of. */
export interface SentencePieceParts {
  vocabulary: Vocabulary;
  affixes: Affixes;
  /** Ids and scores of the pieces that merging may make; `▁` stands for a space. Special and byte tokens are not among them. */
  pieces: Map<string, { id: number; score: number }>;
  /** [256] id of each byte token; -1 where there is none. */
  byteTokens: Int32Array;
  /** -1: text that can't be encoded is refused. */
  unknownToken: number;
  addedTokens: AddedToken[];
  /** Whether a space is put before text at the start and after each added token. */
  addSpacePrefix: boolean;
}

/**
 * SentencePiece BPE as GGUF files of `llama` have it: characters are merged by score, highest first and leftmost among equals, into ever longer
 * pieces of the vocabulary (llama.cpp gives the same); a character that isn't a piece becomes the tokens of its bytes.
 */
export class SentencePieceCodec implements Codec {
  readonly vocabulary: Vocabulary;
  readonly specials: TokenSplitter;
  readonly bytesPerToken: number;
  readonly #parts: SentencePieceParts;
  readonly #all: TokenSplitter;
  readonly #others: TokenSplitter;
  /** The pieces with the rank of their score: 0 is the highest. */
  readonly #pieces: ReadonlyMap<string, { id: number; rank: number }>;
  readonly #queue: MergeQueue = new MergeQueue();
  readonly #words: SpacedWords;
  readonly #cache: WordCache = new WordCache();
  /** UTF-16 units of the longest piece. */
  readonly #longest: number;

  constructor(parts: SentencePieceParts) {
    this.#parts = parts;
    this.vocabulary = parts.vocabulary;
    this.#all = new TokenSplitter(parts.addedTokens);
    this.#others = new TokenSplitter(parts.addedTokens.filter(({ special }) => !special));
    this.specials = new TokenSplitter(parts.addedTokens.filter(({ special }) => special));
    this.#pieces = rankedPieces(parts.pieces);
    this.#words = new SpacedWords(parts.pieces.keys());
    this.bytesPerToken = [...parts.pieces.keys(), ...parts.addedTokens.map(({ text }) => text)].reduce(
      (most, text) => Math.max(most, Buffer.byteLength(text)),
      4,
    );
    this.#longest = [...parts.pieces.keys()].reduce((most, { length }) => Math.max(most, length), 0);
  }

  encode(text: string, { addSpecial, parseSpecial }: Required<EncodeOptions>): number[] {
    const { before, after } = this.#parts.affixes;
    const ids = addSpecial ? [...before] : [];
    this.#split(parseSpecial ? this.#all : this.#others, text, ids);
    if (addSpecial) ids.push(...after);
    return ids;
  }

  encodePlain(text: string): number[] {
    const ids: number[] = [];
    this.#split(this.#others, text, ids);
    return ids;
  }

  #split(splitter: TokenSplitter, text: string, ids: number[]): void {
    for (const piece of splitter.split(text)) {
      if (typeof piece !== "string") ids.push(piece.id);
      else {
        const text = `${this.#parts.addSpacePrefix ? " " : ""}${piece}`.replaceAll(" ", "▁");
        for (const word of this.#words.of(text)) this.#cache.append(word, ids, (part) => this.#merge(part));
      }
    }
  }

  /** Symbols are a linked list: symbol i is text[starts[i] .. starts[next[i]]). A merge extends the left one and unlinks the right one. */
  #merge(text: string): Int32Array {
    const starts = characterStarts(text);
    const count = starts.length - 1;
    const next = Int32Array.from(starts, (_, i) => i + 1);
    const previous = Int32Array.from(starts, (_, i) => i - 1);
    // [count] rank of the merge that is in the queue for a symbol and the one after it; -1: none, so that what else is in the queue is stale.
    const proposed = new Int32Array(count).fill(-1);
    const queue = this.#queue;
    const propose = (left: number): void => {
      if (left < 0) return;
      proposed[left] = -1;
      const right = next[left]!;
      if (right >= count) return;
      const end = starts[next[right]!]!;
      if (end - starts[left]! > this.#longest) return;
      const piece = this.#pieces.get(text.slice(starts[left], end));
      if (piece === undefined) return;
      proposed[left] = piece.rank;
      queue.push(piece.rank, left);
    };
    queue.clear();
    for (let i = 0; i < count; i++) propose(i);
    while (queue.pop()) {
      const left = queue.position;
      if (proposed[left] !== queue.rank) continue;
      const right = next[left]!;
      next[left] = next[right]!;
      previous[next[right]!] = left;
      proposed[right] = -1;
      propose(previous[left]!);
      propose(left);
    }
    const ids: number[] = [];
    for (let i = 0; i < count; i = next[i]!) this.#emit(text.slice(starts[i], starts[next[i]!]), ids);
    return Int32Array.from(ids);
  }

  #emit(symbol: string, ids: number[]): void {
    const { byteTokens, unknownToken } = this.#parts;
    const piece = this.#pieces.get(symbol);
    const tokens = piece === undefined ? byteTokensOf(symbol, byteTokens) : [piece.id];
    if (tokens !== undefined) ids.push(...tokens);
    else if (unknownToken >= 0) ids.push(unknownToken);
    else throw noToken(symbol);
  }
}

function rankedPieces(pieces: SentencePieceParts["pieces"]): ReadonlyMap<string, { id: number; rank: number }> {
  const scores = [...new Set([...pieces.values()].map(({ score }) => score))].sort((a, b) => b - a);
  const ranks = new Map(scores.map((score, rank) => [score, rank]));
  return new Map([...pieces].map(([text, { id, score }]) => [text, { id, rank: ranks.get(score)! }]));
}

/** Where each character begins, and the end. */
function characterStarts(text: string): Int32Array {
  const starts = new Int32Array(text.length + 1);
  let count = 0;
  for (let i = 0; i < text.length; i += text.codePointAt(i)! > 0xffff ? 2 : 1) starts[count++] = i;
  starts[count] = text.length;
  return starts.slice(0, count + 1);
}
