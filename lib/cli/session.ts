import type { EngineOptions } from "../api/options.ts";
import { Engine } from "../engine.ts";
import { type Arguments, engineOptions } from "./arguments.ts";

/** An open engine for one command. */
export interface Session {
  engine: Engine;
  /** The model as the command line names it. */
  model: string;
  /** From the command's start until the engine was ready. */
  loadMs: number;
}

/** Loading that takes longer than this shows its progress. Chosen: about when one begins to wonder. */
const QUIET_MS = 500;

/** Opens the model that the command line names (default: the bundled one), runs `body`, and closes whatever happens. */
export async function withEngine(
  args: Arguments,
  signal: AbortSignal,
  body: (session: Session) => Promise<void>,
  more: EngineOptions = {},
): Promise<void> {
  const start = performance.now();
  const model = typeof args.options.model === "string" ? args.options.model : "tales";
  const progress = new Progress(model);
  let engine: Engine;
  try {
    engine = await Engine.open(model, { ...engineOptions(args), ...more, signal, onProgress: (done) => progress.report(done) });
  } finally {
    progress.clear();
  }
  try {
    await body({ engine, model, loadMs: performance.now() - start });
  } finally {
    await engine.close();
  }
}

/** How far loading is, on stderr: one line that is rewritten on a terminal, a line for each quarter elsewhere. */
class Progress {
  readonly #model: string;
  readonly #start: number = performance.now();
  #shown = "";

  constructor(model: string) {
    this.#model = model;
  }

  report({ loadedBytes, totalBytes }: { loadedBytes: number; totalBytes: number }): void {
    if (performance.now() - this.#start < QUIET_MS) return;
    const percent = Math.floor((100 * loadedBytes) / totalBytes);
    const { isTTY } = process.stderr;
    const line = `loading ${this.#model}: ${isTTY ? percent : percent - (percent % 25)} % of ${(totalBytes / 1e6).toFixed(0)} MB`;
    if (line === this.#shown) return;
    this.#shown = line;
    process.stderr.write(isTTY ? `\r${line}` : `${line}\n`);
  }

  /** Takes the line off a terminal. */
  clear(): void {
    if (this.#shown !== "" && process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  }
}
