import type { Plan } from "../schedule/plan.ts";
import type { StepCost } from "../speculate/cost.ts";

/** Measures what steps cost. */
export class StepClock {
  readonly #cost: StepCost;
  /** When the latest step was done, by `performance.now()`; NaN: none since the loop began to run. */
  #done = Number.NaN;

  constructor(cost: StepCost) {
    this.#cost = cost;
  }

  /** The loop begins to run: what passed before was nobody's step. */
  start(): void {
    this.#done = Number.NaN;
  }

  /** A step that was submitted at `submitted` is done at `now`. It began then, or when the one before was done; between both is a gap. */
  done(plan: Plan, submitted: number, now: number): void {
    const gap = submitted - this.#done;
    const ms = gap < 0 ? now - this.#done : now - submitted;
    this.#done = now;
    if (gap > 0) this.#cost.addGap(gap);
    this.#add(plan, ms);
  }

  /** Prompts have more tokens at less cost: steps of them are not compared, nor those where the draft model computes a prompt. */
  #add({ rows, rowCount, tokenCount, draftTokens }: Plan, ms: number): void {
    let [outputs, passes, drafting] = [0, 0, 0];
    for (let b = 0; b < rowCount; b++) {
      const { output, drafts } = rows[b]!;
      if (output === "sample") outputs += rows[b]!.outputs;
      if (drafts > 0) drafting += 1;
      passes = Math.max(passes, drafts);
    }
    if (outputs === tokenCount && draftTokens <= 2 * drafting) this.#cost.add(tokenCount, passes, drafting, ms);
  }
}
