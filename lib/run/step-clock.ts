import type { StepBuffers } from "../native/addon.ts";
import type { Plan } from "../schedule/plan.ts";

/** What a step took. */
export interface StepTime {
  /** Milliseconds that it ran. */
  ms: number;
  /** Milliseconds for which nothing ran before it. */
  gap: number;
  /** Tokens that it gave. */
  tokens: number;
}

/** A step that is done; times by `performance.now()`. */
export interface DoneStep {
  submitted: number;
  now: number;
  tokens: number;
  /** The device has recorded something for it. */
  recorded: boolean;
}

/** Who learns what steps take. */
export interface StepObserver {
  add(plan: Plan, time: StepTime): void;
}

/** Measures steps. */
export class StepClock {
  readonly #observers: readonly StepObserver[];
  /** When the latest step was done, by `performance.now()`; NaN: none since the loop began to run. */
  #done = Number.NaN;

  constructor(observers: readonly StepObserver[]) {
    this.#observers = observers;
  }

  /** The loop begins to run: what passed before was nobody's step. */
  start(): void {
    this.#done = Number.NaN;
  }

  /** A step has failed at `now`: the next one begins then at the soonest. */
  failed(now: number): void {
    this.#done = now;
  }

  /**
   * A step that was submitted at `submitted` is done at `now`, and gave `tokens` tokens. It began then, or when the one before was done;
   * between both is a gap. One that the device has `recorded` something for tells nobody anything: the next of its size takes a fraction
   * of it.
   */
  done(plan: Plan, { submitted, now, tokens, recorded }: DoneStep): void {
    const gap = Math.max(0, submitted - this.#done || 0);
    const ms = now - Math.max(submitted, this.#done || 0);
    this.#done = now;
    if (recorded) return;
    for (const observer of this.#observers) observer.add(plan, { ms, gap, tokens });
  }
}

/** Tokens that a step sampled, not counting those after wrong guesses. */
export function tokensOf({ rowCount }: Plan, { outIndptr, sampled }: StepBuffers): number {
  let count = 0;
  for (let output = 0; output < outIndptr[rowCount]!; output++) if (sampled[output]! >= 0) count += 1;
  return count;
}
