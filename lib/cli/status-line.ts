/** What takes longer than this shows how far it is. Chosen: about when one begins to wonder. */
const QUIET_MS = 500;

/** Between two drawings of a line. Chosen: ten a second. */
const REDRAW_MS = 100;

/** How far something is, in a line of its own on stderr that is drawn anew; where stderr is no terminal, it is silent. */
export class StatusLine {
  readonly #start: number = performance.now();
  #drawn = 0;
  #shown = "";

  show(line: string): void {
    const now = performance.now();
    if (!process.stderr.isTTY || now - this.#start < QUIET_MS || now - this.#drawn < REDRAW_MS || line === this.#shown) return;
    this.#drawn = now;
    this.#shown = line;
    process.stderr.write(`\r\x1b[K${line}`);
  }

  /** Takes the line away, so that something else can be written. */
  clear(): void {
    if (this.#shown !== "") process.stderr.write("\r\x1b[K");
    this.#shown = "";
  }
}
