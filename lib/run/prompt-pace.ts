import type { Plan, PlanRow } from "../schedule/plan.ts";
import { pendingTokens, type Sequence } from "../schedule/sequence.ts";
import type { StepObserver, StepTime } from "./step-clock.ts";

/** What a measure leaves of those before it. Chosen: the latest ten decide. */
const KEEP = 0.9;

/** Tokens of prompts in a step before any was measured, and the fewest ever: a prompt goes on, however slow the model is. */
const FIRST_TOKENS = 64;
const LEAST_TOKENS = 16;

/** Of a token, so that nothing is divided by 0. */
const LEAST_MS = 1e-6;

/** What grows by a line with x, neither falling nor below 0 anywhere, by what was measured lately. */
class Line {
  #weight = 0;
  #x = 0;
  #y = 0;
  #xx = 0;
  #xy = 0;

  add(x: number, y: number): void {
    this.#weight = KEEP * this.#weight + 1;
    this.#x = KEEP * this.#x + x;
    this.#y = KEEP * this.#y + y;
    this.#xx = KEEP * this.#xx + x * x;
    this.#xy = KEEP * this.#xy + x * y;
  }

  /**
   * Least squares; NaN while nothing was measured. Before most of the measures (a standard deviation from their mean) it is flat: noise
   * would be drawn out to anything there.
   */
  at(x: number): number {
    const [meanX, meanY] = [this.#x / this.#weight, this.#y / this.#weight];
    const variance = Math.max(0, this.#xx / this.#weight - meanX * meanX);
    const slope = variance > 1 ? (this.#xy / this.#weight - meanX * meanY) / variance : 0;
    return meanY + Math.min(Math.max(0, slope), meanY / meanX || 0) * (Math.max(x, meanX - Math.sqrt(variance)) - meanX);
  }
}

/**
 * How many tokens of prompts a step may run beside streams, which wait for it: as many as take `maxStepMs`, by what steps took before. A
 * step without prompts takes what its number of rows says, each token of a prompt adds to that, and the more, the further on it is, since it
 * attends to more keys.
 */
export class PromptPace implements StepObserver {
  readonly #maxStepMs: number;
  /** Milliseconds of a step without prompts, over its rows. */
  readonly #decode = new Line();
  /** Milliseconds of a prompt's token, over its position. */
  readonly #prefill = new Line();
  /** Twice what a step ran beside streams: what more would take, nobody knows. */
  #most = FIRST_TOKENS;

  constructor(maxStepMs: number) {
    this.#maxStepMs = maxStepMs;
  }

  add({ rows, rowCount }: Plan, { ms }: Pick<StepTime, "ms">): void {
    let [tokens, positions, streams] = [0, 0, 0];
    for (let b = 0; b < rowCount; b++) {
      const { count, start } = rows[b]!;
      if (isPrefill(rows[b]!)) {
        tokens += count;
        positions += count * (start + count / 2);
      } else streams += 1;
    }
    if (streams > 0) this.#most = Math.max(this.#most, 2 * tokens);
    if (tokens === 0) this.#decode.add(streams, ms);
    else this.#prefill.add(positions / tokens, Math.max(0, ms - this.#decodeMs(streams)) / tokens);
  }

  /** Most in the next step of those that run; Infinity where no stream waits for it. */
  tokensBeside(running: readonly Sequence[]): number {
    let [streams, position] = [0, 0];
    for (const sequence of running) {
      if (sequence.length + sequence.sampling > sequence.promptLength) streams += 1;
      if (pendingTokens(sequence) > 1) position = Math.max(position, sequence.computed);
    }
    if (streams === 0) return Number.POSITIVE_INFINITY;
    const ms = this.#prefill.at(position);
    if (Number.isNaN(ms)) return FIRST_TOKENS;
    const tokens = Math.floor((this.#maxStepMs - this.#decodeMs(streams)) / Math.max(ms, LEAST_MS));
    return Math.max(LEAST_TOKENS, Math.min(tokens, this.#most));
  }

  #decodeMs(streams: number): number {
    return streams === 0 ? 0 : this.#decode.at(streams) || 0;
  }
}

/** Of one token, or one and guesses, it can't be told from a stream's; nor need it. */
const isPrefill = ({ count, guesses, output }: PlanRow): boolean => output === "score" || count > 1 + guesses;
