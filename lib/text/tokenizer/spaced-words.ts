/** What stands for a space where text is merged as a whole (SentencePiece's). */
const SPACE = "▁";

/**
 * Cuts a text that is merged as a whole where no merge can reach: at the beginning of a run of spaces, unless some piece has a space behind the
 * same character. The parts are merged as they would be inside the text, but short ones, which can be remembered.
 */
export class SpacedWords {
  /** UTF-16 units that stand before a space in some piece. */
  readonly #joined: ReadonlySet<string>;

  constructor(pieces: Iterable<string>) {
    const joined = new Set<string>();
    for (const piece of pieces) {
      for (let at = piece.indexOf(SPACE, 1); at > 0; at = piece.indexOf(SPACE, at + 1)) joined.add(piece[at - 1]!);
    }
    this.#joined = joined.add(SPACE);
  }

  *of(text: string): Iterable<string> {
    let start = 0;
    for (let at = text.indexOf(SPACE, 1); at > 0; at = text.indexOf(SPACE, at + 1)) {
      if (this.#joined.has(text[at - 1]!)) continue;
      yield text.slice(start, at);
      start = at;
    }
    yield text.slice(start);
  }
}
