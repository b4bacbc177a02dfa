/** A Ctrl-C may arrive twice, from the terminal and from a parent process. Signals this close count as one; chosen. */
const SAME_INTERRUPT_MS = 1000;

/** What Ctrl-C does: it ends the process, unless the command has something to end in order, or takes it for something of its own. */
export class Interrupts {
  #controller: AbortController | undefined;
  #last = Number.NEGATIVE_INFINITY;
  #handler: (() => void) | undefined;

  constructor() {
    process.on("SIGINT", () => {
      const now = performance.now();
      if (now - this.#last < SAME_INTERRUPT_MS) return;
      this.#last = now;
      if (this.#handler !== undefined) this.#handler();
      else if (this.#controller === undefined || this.happened) process.exit(130);
      else this.#controller.abort();
    });
  }

  /** Aborted by the first Ctrl-C from now on; the next one ends the process at once, as any does before a command asks for this. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    return this.#controller.signal;
  }

  /** Whether the signal was aborted. */
  get happened(): boolean {
    return this.#controller?.signal.aborted === true;
  }

  /** From now on Ctrl-C calls `handler` instead, until what this returns is called. */
  takeOver(handler: () => void): () => void {
    this.#handler = handler;
    return () => {
      this.#handler = undefined;
    };
  }
}
