/** What takes longer than this shows how far it is. Chosen: about when one begins to wonder. */
export const QUIET_MS = 500;

/** Between two drawings of a line. Chosen: ten a second. */
const REDRAW_MS = 100;

/** How far something is, in a line of its own on stderr that is drawn anew; where stderr is no terminal, it is silent. */
export class StatusLine {
  #next: number = performance.now() + QUIET_MS;
  #line = "";
  #shown = "";
  #timer: NodeJS.Timeout | undefined;

  show(line: string): void {
    if (!process.stderr.isTTY) return;
    this.#line = line;
    const wait = this.#next - performance.now();
    if (wait <= 0) this.#draw();
    else this.#timer ??= setTimeout(() => this.#draw(), wait).unref();
  }

  /** Takes the line away, so that something else can be written. */
  clear(): void {
    this.#stop();
    if (this.#shown !== "") process.stderr.write("\r\x1b[K");
    this.#shown = "";
  }

  #draw(): void {
    this.#stop();
    this.#next = performance.now() + REDRAW_MS;
    if (this.#line === this.#shown) return;
    this.#shown = this.#line;
    process.stderr.write(`\r\x1b[K${this.#line}`);
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** Says what is done while it is done. */
export async function withStatus<T>(line: string, work: () => Promise<T>): Promise<T> {
  const status = new StatusLine();
  status.show(line);
  try {
    return await work();
  } finally {
    status.clear();
  }
}
