import { byteTokensOf, toByteLevel } from "./byte-level.ts";
import { noToken } from "./codec.ts";
import { MergeQueue } from "./merge-queue.ts";
import { PairTable } from "./pair-table.ts";
import { SpacedWords } from "./spaced-words.ts";
import { WordCache } from "./word-cache.ts";

/** Two neighbouring pieces and the one that they make. */
export interface Merge {
  left: number;
  right: number;
  result: number;
}

/** What a {@link Bpe} is made of. */
export interface BpeParts {
  /** Ids of the pieces that text may become. */
  ids: ReadonlyMap<string, number>;
  /** In the order in which they are made. */
  merges: readonly Merge[];
  /** What a character without a piece becomes; -1: such text is refused. */
  unknownToken: number;
  /** Whether neighbouring unknown characters become one token. */
  fusesUnknown: boolean;
  /** [256] pieces for the bytes of characters that are none; `undefined` where the model doesn't use them. */
  byteTokens: Int32Array | undefined;
  /** A word that is a piece stays whole, whatever the merges say. */
  ignoresMerges: boolean;
  /** Words come as text and are written as byte-level BPE writes bytes. */
  writesBytes: boolean;
}

/**
 * Byte-pair encoding as Hugging Face's `tokenizers` does it: characters become pieces, bytes or the unknown token; then neighbours are merged by
 * the rank of their pair, leftmost first. Time grows with n log n, whatever the text repeats.
 */
export class Bpe {
  readonly #parts: BpeParts;
  readonly #ranks: PairTable;
  /** [merges] the piece that a merge makes. */
  readonly #results: Int32Array;
  /** `undefined` where words are already short, or may be pieces as they are. */
  readonly #words: SpacedWords | undefined;
  readonly #cache: WordCache = new WordCache();
  readonly #queue = new MergeQueue();
  /** A word's symbols as a linked list, which merging shortens: a symbol that was merged away has id -1. Kept from word to word. */
  #symbols = new Int32Array(64);
  #next = new Int32Array(64);
  #previous = new Int32Array(64);
  #count = 0;

  constructor(parts: BpeParts) {
    const { ids, merges } = parts;
    this.#parts = parts;
    if (!parts.ignoresMerges && !parts.writesBytes) this.#words = new SpacedWords(ids.keys());
    this.#ranks = new PairTable(merges.length);
    this.#results = Int32Array.from(merges, ({ result }) => result);
    merges.forEach(({ left, right }, rank) => {
      this.#ranks.set(left, right, rank);
    });
  }

  /** Appends a word's ids. Throws TOKENIZER_FAILED for a character that has no token, where there is none for unknown ones. */
  encode(word: string, ids: number[]): void {
    const encode = (part: string): Int32Array => this.#encode(this.#parts.writesBytes ? toByteLevel(part) : part);
    if (this.#words === undefined) this.#cache.append(word, ids, encode);
    else for (const part of this.#words.of(word)) this.#cache.append(part, ids, encode);
  }

  #encode(word: string): Int32Array {
    const whole = this.#parts.ignoresMerges ? this.#parts.ids.get(word) : undefined;
    if (whole !== undefined) return Int32Array.of(whole);
    this.#split(word);
    this.#merge();
    const ids = new Int32Array(this.#count);
    let length = 0;
    for (let i = 0; i < this.#count; i = this.#next[i]!) ids[length++] = this.#symbols[i]!;
    return ids.slice(0, length);
  }

  /** Characters as symbols. An unknown token stands behind the bytes of the characters after it up to the next piece, as in `tokenizers`. */
  #split(word: string): void {
    const { ids, byteTokens, unknownToken, fusesUnknown } = this.#parts;
    this.#count = 0;
    let unknown = false;
    for (let i = 0; i < word.length; ) {
      const character = word.codePointAt(i)! > 0xffff ? word.slice(i, i + 2) : word[i]!;
      i += character.length;
      const id = ids.get(character);
      if (id === undefined && byteTokens !== undefined && this.#pushBytes(character, byteTokens)) continue;
      if (unknown && (id !== undefined || !fusesUnknown)) this.#push(unknownToken);
      if (id !== undefined) this.#push(id);
      else if (unknownToken < 0) throw noToken(character);
      unknown = id === undefined;
    }
    if (unknown) this.#push(unknownToken);
  }

  #pushBytes(character: string, byteTokens: Int32Array): boolean {
    const tokens = byteTokensOf(character, byteTokens);
    for (const token of tokens ?? []) this.#push(token);
    return tokens !== undefined;
  }

  #push(id: number): void {
    if (this.#count === this.#symbols.length) {
      this.#symbols = larger(this.#symbols);
      this.#next = larger(this.#next);
      this.#previous = larger(this.#previous);
    }
    this.#symbols[this.#count] = id;
    this.#next[this.#count] = this.#count + 1;
    this.#previous[this.#count] = this.#count - 1;
    this.#count++;
  }

  #merge(): void {
    const queue = this.#queue;
    const symbols = this.#symbols;
    const next = this.#next;
    queue.clear();
    for (let i = 0; i + 1 < this.#count; i++) this.#propose(i);
    while (queue.pop()) {
      const left = queue.position;
      const right = next[left]!;
      const result = this.#results[queue.rank]!;
      // Stale where the left side is gone or the two would make something else by now.
      if (symbols[left]! < 0 || right >= this.#count) continue;
      const rank = this.#ranks.rank(symbols[left]!, symbols[right]!);
      if (rank < 0 || this.#results[rank] !== result) continue;
      symbols[left] = result;
      symbols[right] = -1;
      next[left] = next[right]!;
      if (next[left]! < this.#count) this.#previous[next[left]!] = left;
      if (this.#previous[left]! >= 0) this.#propose(this.#previous[left]!);
      this.#propose(left);
    }
  }

  #propose(left: number): void {
    const right = this.#next[left]!;
    if (right >= this.#count) return;
    const rank = this.#ranks.rank(this.#symbols[left]!, this.#symbols[right]!);
    if (rank >= 0) this.#queue.push(rank, left);
  }
}

function larger(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(2 * array.length);
  copy.set(array);
  return copy;
}
