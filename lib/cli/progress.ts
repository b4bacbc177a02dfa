import type { EngineOptions } from "../api/options.ts";

type Step = Parameters<NonNullable<EngineOptions["onProgress"]>>[0];

/** What takes longer than this shows its progress. Chosen: about when one begins to wonder. */
const QUIET_MS = 500;

/** Characters of a bar. */
const WIDTH = 24;

/** Between two drawings of a line. Chosen: ten a second. */
const REDRAW_MS = 100;

const VERBS = { download: "downloading", load: "loading" } as const;

/** How far a download or loading is, on stderr: a bar that is redrawn on a terminal, a line for each quarter elsewhere. */
export class Progress {
  readonly #model: string;
  readonly #start: number = performance.now();
  #phase: { name: Step["phase"]; start: number; before: number } | undefined;
  #drawn = 0;
  #shown = "";

  constructor(model: string) {
    this.#model = model;
  }

  report({ phase, loadedBytes, totalBytes }: Step): void {
    const now = performance.now();
    if (this.#phase?.name !== phase) this.#phase = { name: phase, start: now, before: loadedBytes };
    const { isTTY } = process.stderr;
    if (now - this.#start < QUIET_MS || (isTTY && now - this.#drawn < REDRAW_MS)) return;
    this.#drawn = now;
    const percent = totalBytes === 0 ? 100 : Math.floor((100 * loadedBytes) / totalBytes);
    const rate = (loadedBytes - this.#phase.before) / (now - this.#phase.start + 1) / 1000;
    const head = `${VERBS[phase]} ${this.#model}:`;
    const line = isTTY
      ? `${head} ${bar(percent)} ${percent} % of ${megabytes(totalBytes)}, ${rate.toFixed(0)} MB/s${left(totalBytes - loadedBytes, rate)}`
      : `${head} ${percent - (percent % 25)} % of ${megabytes(totalBytes)}`;
    if (line === this.#shown) return;
    this.#shown = line;
    process.stderr.write(isTTY ? `\r\x1b[K${line}` : `${line}\n`);
  }

  /** Takes the line off a terminal. */
  clear(): void {
    if (this.#shown !== "" && process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  }
}

function bar(percent: number): string {
  const filled = Math.round((WIDTH * percent) / 100);
  return `[${"#".repeat(filled)}${".".repeat(WIDTH - filled)}]`;
}

/** Seconds or minutes that the rest takes at `rate` MB/s. */
function left(bytes: number, rate: number): string {
  const seconds = Math.ceil(bytes / 1e6 / rate);
  if (!Number.isFinite(seconds)) return "";
  return seconds < 120 ? `, ${seconds} s left` : `, ${Math.ceil(seconds / 60)} min left`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
