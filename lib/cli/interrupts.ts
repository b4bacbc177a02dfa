/** A Ctrl-C may arrive twice, from the terminal and from a parent process. Signals this close count as one; chosen. */
const SAME_INTERRUPT_MS = 1000;

/** What Ctrl-C does: it ends the command, until the command takes it for something of its own. */
export class Interrupts {
  readonly #controller = new AbortController();
  #last = Number.NEGATIVE_INFINITY;
  #handler: (() => void) | undefined;

  constructor() {
    process.on("SIGINT", () => {
      const now = performance.now();
      if (now - this.#last < SAME_INTERRUPT_MS) return;
      this.#last = now;
      if (this.#handler !== undefined) this.#handler();
      else if (this.signal.aborted) process.exit(130);
      else this.#controller.abort();
    });
  }

  /** Aborted by the first Ctrl-C; the next one ends the process at once. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** From now on Ctrl-C calls `handler` instead. */
  takeOver(handler: () => void): void {
    this.#handler = handler;
  }
}
