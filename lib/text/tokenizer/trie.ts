interface Node {
  children: Map<string, Node>;
  /** Whether a text ends here. */
  end: boolean;
}

/** A set of texts, searched by UTF-16 unit from a place in a string. */
export class TextTrie {
  readonly #root: Node = { children: new Map(), end: false };
  /** [65536] 1: a text begins with this UTF-16 unit. Most places of a string are told by it alone. */
  readonly #begins: Uint8Array = new Uint8Array(65_536);

  constructor(texts: Iterable<string>) {
    for (const text of texts) this.#add(text);
  }

  /** Length of the longest text at `position` that ends at `end` or before, or 0. */
  longestAt(string: string, position: number, end: number = string.length): number {
    if (this.#begins[string.charCodeAt(position)] === 0) return 0;
    let longest = 0;
    let node = this.#root;
    for (let i = position; i < end; i++) {
      const next = node.children.get(string[i]!);
      if (next === undefined) break;
      if (next.end) longest = i + 1 - position;
      node = next;
    }
    return longest;
  }

  #add(text: string): void {
    let node = this.#root;
    for (let i = 0; i < text.length; i++) {
      const unit = text[i]!;
      let next = node.children.get(unit);
      if (next === undefined) {
        next = { children: new Map(), end: false };
        node.children.set(unit, next);
      }
      node = next;
    }
    if (text === "") return;
    this.#begins[text.charCodeAt(0)] = 1;
    node.end = true;
  }
}
