const BLOCK = '"""';

/** What was typed: a message, or a line that is a command. */
export interface Typed {
  text: string;
  /** A line alone that begins with a slash. */
  isCommand: boolean;
}

/** Makes messages of lines: one that ends with a backslash goes on in the next, and so does what stands between two `"""`. */
export class MessageReader {
  #lines: string[] = [];
  #inBlock = false;

  /** Whether a message has begun and not ended. */
  get isOpen(): boolean {
    return this.#inBlock || this.#lines.length > 0;
  }

  /** Takes a line; returns what it completes. */
  push(line: string): Typed | undefined {
    const begins = !this.isOpen && line.startsWith(BLOCK);
    const rest = begins ? line.slice(BLOCK.length) : line;
    if (begins) this.#inBlock = true;
    if (this.#inBlock) {
      const ends = rest.endsWith(BLOCK);
      const text = ends ? rest.slice(0, -BLOCK.length) : rest;
      // What stands beside the quotes is part of the message; a line of them alone is none.
      if (text !== "" || !(begins || ends)) this.#lines.push(text);
      return ends ? this.#take(false) : undefined;
    }
    const goesOn = line.endsWith("\\");
    this.#lines.push(goesOn ? line.slice(0, -1) : line);
    return goesOn ? undefined : this.#take(this.#lines.length === 1 && line.startsWith("/"));
  }

  /** At the end of all lines: the message that was not ended. */
  end(): Typed | undefined {
    return this.isOpen ? this.#take(false) : undefined;
  }

  /** Forgets what was typed of a message. */
  clear(): void {
    this.#lines = [];
    this.#inBlock = false;
  }

  #take(isCommand: boolean): Typed {
    const text = this.#lines.join("\n");
    this.clear();
    return { text, isCommand };
  }
}
