import type { EngineOptions } from "../api/options.ts";
import { showBytes } from "./format.ts";
import { QUIET_MS, StatusLine } from "./status-line.ts";

type Step = Parameters<NonNullable<EngineOptions["onProgress"]>>[0];

/** Characters of a bar. */
const WIDTH = 24;

const VERBS = { download: "downloading", load: "loading" } as const;

/** How far a download or loading is, on stderr: a bar on a terminal; elsewhere a line for each quarter of a download, which may take minutes. */
export class Progress {
  readonly #model: string;
  readonly #start: number = performance.now();
  readonly #status: StatusLine = new StatusLine();
  #phase: { name: Step["phase"]; start: number; before: number } | undefined;
  #quarter = -1;

  constructor(model: string) {
    this.#model = model;
  }

  report({ phase, loadedBytes, totalBytes }: Step): void {
    const now = performance.now();
    if (this.#phase?.name !== phase) this.#phase = { name: phase, start: now, before: loadedBytes };
    const percent = totalBytes === 0 ? 100 : Math.floor((100 * loadedBytes) / totalBytes);
    const head = `${VERBS[phase]} ${this.#model}:`;
    const rate = ((loadedBytes - this.#phase.before) / (now - this.#phase.start + 1)) * 1000;
    const speed = `${showBytes(rate)}/s${left(totalBytes - loadedBytes, rate)}`;
    this.#status.show(`${head} ${bar(percent)} ${percent} % of ${showBytes(totalBytes)}, ${speed}`);
    if (!process.stderr.isTTY && phase === "download" && now - this.#start >= QUIET_MS) this.#line(head, percent, totalBytes);
  }

  #line(head: string, percent: number, totalBytes: number): void {
    const quarter = percent - (percent % 25);
    if (quarter === this.#quarter) return;
    this.#quarter = quarter;
    process.stderr.write(`${head} ${quarter} % of ${showBytes(totalBytes)}\n`);
  }

  /** Takes the line off a terminal. */
  clear(): void {
    this.#status.clear();
  }
}

function bar(percent: number): string {
  const filled = Math.round((WIDTH * percent) / 100);
  return `[${"#".repeat(filled)}${".".repeat(WIDTH - filled)}]`;
}

/** Seconds or minutes that the rest takes at `rate` bytes/s. */
function left(bytes: number, rate: number): string {
  const seconds = Math.ceil(bytes / rate);
  if (!Number.isFinite(seconds)) return "";
  return seconds < 120 ? `, ${seconds} s left` : `, ${Math.ceil(seconds / 60)} min left`;
}
