import type { Plan } from "../schedule/plan.ts";
import { pendingTokens, type Sequence } from "../schedule/sequence.ts";
import type { StepObserver, StepTime } from "./step-clock.ts";

/** What a step's measure leaves of those before it. Chosen: the latest ten decide. */
const KEEP = 0.9;

/** Tokens of prompts in a step before any was measured, and the fewest ever: a prompt goes on, however slow the model is. */
const FIRST_TOKENS = 64;
const LEAST_TOKENS = 16;

/** A step's milliseconds for each token, over the position of its tokens. */
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

  /** Least squares; flat where all were measured at one place. NaN while nothing was. */
  at(x: number): number {
    const [meanX, meanY] = [this.#x / this.#weight, this.#y / this.#weight];
    const spread = this.#xx / this.#weight - meanX * meanX;
    const slope = spread > 1 ? Math.max(0, (this.#xy / this.#weight - meanX * meanY) / spread) : 0;
    return meanY + slope * (x - meanX);
  }
}

/**
 * How many tokens of prompts a step may run beside streams, which wait for it: as many as take `maxStepMs`, by what steps took before. The
 * further on in a prompt, the more keys each token attends to: what it costs grows by a line with its position.
 */
export class PromptPace implements StepObserver {
  readonly #maxStepMs: number;
  readonly #cost = new Line();

  constructor(maxStepMs: number) {
    this.#maxStepMs = maxStepMs;
  }

  /** Steps that mostly decode say little of prompts. */
  add({ rows, rowCount, tokenCount }: Plan, { ms }: Pick<StepTime, "ms">): void {
    let [prompt, positions] = [0, 0];
    for (let b = 0; b < rowCount; b++) {
      const { count, start, outputs } = rows[b]!;
      if (outputs !== count) prompt += count;
      positions += count * (start + count / 2);
    }
    if (2 * prompt > tokenCount) this.#cost.add(positions / tokenCount, ms / tokenCount);
  }

  /** Most in the next step of those that run; Infinity where no stream waits for it. */
  tokensBeside(running: readonly Sequence[]): number {
    let [streams, position] = [0, 0];
    for (const sequence of running) {
      if (sequence.length + sequence.sampling > sequence.promptLength) streams += 1;
      if (pendingTokens(sequence) > 1) position = Math.max(position, sequence.computed);
    }
    if (streams === 0) return Number.POSITIVE_INFINITY;
    const ms = this.#cost.at(position);
    return Number.isNaN(ms) ? FIRST_TOKENS : Math.max(LEAST_TOKENS, Math.floor(this.#maxStepMs / ms) - streams);
  }
}
