/** Longest word, in UTF-16 units, and number of words that are remembered with their ids. Chosen: some megabytes. */
const MAX_LENGTH = 64;
const MAX_WORDS = 50_000;

/** Ids of words that came before: most words of a text did. */
export class WordCache {
  readonly #ids = new Map<string, Int32Array>();

  /** Appends the ids of a word, which `encode` makes where they aren't known. */
  append(word: string, ids: number[], encode: (word: string) => Int32Array): void {
    let encoded = this.#ids.get(word);
    if (encoded === undefined) {
      encoded = encode(word);
      if (word.length <= MAX_LENGTH) {
        if (this.#ids.size >= MAX_WORDS) this.#ids.clear();
        this.#ids.set(word, encoded);
      }
    }
    for (let i = 0; i < encoded.length; i++) ids.push(encoded[i]!);
  }
}
