import type { StepBuffers } from "../native/addon.ts";
import type { Plan } from "../schedule/plan.ts";
import { tokensLeft } from "../schedule/sequence.ts";
import type { StepCost } from "../speculate/cost.ts";
import { EXPECTED_TOKENS } from "../speculate/decide.ts";
import type { Governor } from "../speculate/governor.ts";

/** Measures steps: what each costs, and what passes for the tokens that it gives. */
export class StepClock {
  readonly #cost: StepCost;
  readonly #governor: Governor;
  /** When the latest step was done, by `performance.now()`; NaN: none since the loop began to run. */
  #done = Number.NaN;

  constructor(cost: StepCost, governor: Governor) {
    this.#cost = cost;
    this.#governor = governor;
  }

  /** The loop begins to run: what passed before was nobody's step. */
  start(): void {
    this.#done = Number.NaN;
  }

  /**
   * A step that was submitted at `submitted` is done at `now`, and gave `tokens` tokens. It began then, or when the one before was done;
   * between both is a gap.
   */
  done(plan: Plan, submitted: number, now: number, tokens: number): void {
    const gap = Math.max(0, submitted - this.#done || 0);
    const ms = now - Math.max(submitted, this.#done || 0);
    this.#done = now;
    if (gap > 0) this.#cost.addGap(gap);
    this.#add(plan, ms, gap, tokens);
  }

  /** Prompts have more tokens at less cost: steps of them are not compared. Nor is the cost of those where the draft model computes a prompt. */
  #add({ rows, rowCount, tokenCount, draftTokens }: Plan, ms: number, gap: number, tokens: number): void {
    let [outputs, passes, drafting, lacking, left] = [0, 0, 0, 0, 0];
    for (let b = 0; b < rowCount; b++) {
      const { output, drafts, draftCount, sequence } = rows[b]!;
      if (output === "sample") outputs += rows[b]!.outputs;
      if (drafts > 0) drafting += 1;
      passes = Math.max(passes, drafts);
      if (draftCount <= 2) continue;
      lacking += 1;
      left += Math.max(1, Math.min(tokensLeft(sequence) + sequence.sampling, EXPECTED_TOKENS));
    }
    if (outputs < tokenCount) {
      this.#governor.skip(gap + ms);
      if (2 * outputs < tokenCount && draftTokens === 0) this.#cost.addPrompt(tokenCount, ms);
      return;
    }
    if (lacking === 0) this.#cost.add(rowCount, tokenCount, passes, drafting, ms);
    this.#governor.add({ ms: gap + ms, tokens, guesses: tokenCount > rowCount || draftTokens > 0, lacking, left });
  }
}

/** Tokens that a step sampled, not counting those after wrong guesses. */
export function tokensOf({ rowCount }: Plan, { outIndptr, sampled }: StepBuffers): number {
  let count = 0;
  for (let output = 0; output < outIndptr[rowCount]!; output++) if (sampled[output]! >= 0) count += 1;
  return count;
}
