import { createInterface, type Interface } from "node:readline";
import { Transform, type TransformCallback } from "node:stream";
import { MAX_TEXT } from "../../check.ts";
import { KvasirError } from "../../errors.ts";

/** Lines that come through a pipe, up to one that is longer than an engine takes, which ends them: some pipes have no end. */
class BoundedLines extends Transform {
  isTooLong = false;
  /** The beginning of a line that has not ended: of one that is too long nobody gets anything. */
  #begun: Buffer[] = [];
  #length = 0;

  override _transform(piece: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    const first = piece.findIndex(isLineEnd);
    this.isTooLong = this.#length + (first < 0 ? piece.length : first) > MAX_TEXT;
    if (this.isTooLong) {
      this.push(null); // and nothing more is taken
      return;
    }
    const end = 1 + piece.findLastIndex(isLineEnd);
    if (end > 0) {
      this.push(Buffer.concat([...this.#begun, piece.subarray(0, end)]));
      [this.#begun, this.#length] = [[], 0];
    }
    this.#begun.push(piece.subarray(end));
    this.#length += piece.length - end;
    done();
  }

  override _flush(done: TransformCallback): void {
    done(null, Buffer.concat(this.#begun));
  }
}

const isLineEnd = (byte: number): boolean => byte === 0x0a || byte === 0x0d;

/** Lines that are typed, on a terminal with a prompt and an editor, or that come from a pipe. */
export class Terminal {
  /** Whether somebody types and looks. */
  readonly isInteractive: boolean = process.stdin.isTTY === true && process.stdout.isTTY === true;
  readonly #readline: Interface;
  readonly #lines: AsyncIterator<string>;
  readonly #piped = new BoundedLines();

  /** `onInterrupt` is called for a Ctrl-C that is typed into a line. */
  constructor(onInterrupt: () => void) {
    this.#readline = this.isInteractive
      ? createInterface({ input: process.stdin, output: process.stdout, terminal: true })
      : createInterface({ input: process.stdin.pipe(this.#piped), terminal: false });
    this.#readline.on("SIGINT", onInterrupt);
    // From now on: lines that come before anybody waits for them are kept.
    this.#lines = this.#readline[Symbol.asyncIterator]();
  }

  /** The next line; `undefined` when there are no more. Throws INVALID_ARGUMENT for one from a pipe that is longer than an engine takes. */
  async next(prompt: string): Promise<string | undefined> {
    if (this.isInteractive) {
      this.#readline.setPrompt(prompt);
      this.#readline.prompt();
    }
    const { value, done } = await this.#lines.next();
    if (done === true && this.#piped.isTooLong)
      throw new KvasirError("INVALID_ARGUMENT", `stdin has a line of more than ${MAX_TEXT} bytes, the most that is read`);
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

  /** Empties the line that is being typed, with a notice before the new one and its prompt. */
  startOver(notice: string, prompt: string): void {
    if (!this.isInteractive) return;
    this.#readline.setPrompt(prompt);
    process.stdout.write(`\n${notice}\n`);
    this.#readline.write(null, { ctrl: true, name: "e" });
    this.#readline.write(null, { ctrl: true, name: "u" });
    this.#readline.prompt();
  }

  /** Ends the lines. */
  close(): void {
    this.#readline.close();
    if (!this.isInteractive) process.stdin.unpipe().pause();
  }
}
