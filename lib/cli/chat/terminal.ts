import { createInterface, type Interface } from "node:readline";

/** Lines that are typed, on a terminal with a prompt and an editor, or that come from a pipe. */
export class Terminal {
  /** Whether somebody types and looks. */
  readonly isInteractive: boolean = process.stdin.isTTY === true && process.stdout.isTTY === true;
  readonly #readline: Interface;
  readonly #lines: AsyncIterator<string>;

  /** `onInterrupt` is called for a Ctrl-C that is typed into a line. */
  constructor(onInterrupt: () => void) {
    const output = this.isInteractive ? { output: process.stdout } : {};
    this.#readline = createInterface({ input: process.stdin, ...output, terminal: this.isInteractive });
    this.#readline.on("SIGINT", onInterrupt);
    // From now on: lines that come before anybody waits for them are kept.
    this.#lines = this.#readline[Symbol.asyncIterator]();
  }

  /** The next line; `undefined` when there are no more. */
  async next(prompt: string): Promise<string | undefined> {
    if (this.isInteractive) {
      this.#readline.setPrompt(prompt);
      this.#readline.prompt();
    }
    const { value, done } = await this.#lines.next();
    return done === true ? undefined : value;
  }

  /** Runs what writes to the terminal: meanwhile Ctrl-C is a signal, and what is typed waits. */
  async aside(work: () => Promise<void>): Promise<void> {
    if (!this.isInteractive) return work();
    this.#readline.pause();
    process.stdin.setRawMode(false);
    try {
      await work();
    } finally {
      process.stdin.setRawMode(true);
      this.#readline.resume();
    }
  }

  /** Empties the line that is being typed, with a notice before the new one. */
  startOver(notice: string): void {
    if (!this.isInteractive) return;
    process.stdout.write(`\n${notice}\n`);
    this.#readline.write(null, { ctrl: true, name: "e" });
    this.#readline.write(null, { ctrl: true, name: "u" });
    this.#readline.prompt();
  }

  /** Ends the lines. */
  close(): void {
    this.#readline.close();
  }
}
