import type { Plan } from "../schedule/plan.ts";
import { tokensLeft } from "../schedule/sequence.ts";
import type { StepCost } from "../speculate/cost.ts";
import { EXPECTED_TOKENS } from "../speculate/decide.ts";
import type { Governor } from "../speculate/governor.ts";
import type { StepObserver, StepTime } from "./step-clock.ts";

/** What steps tell of guessing: what each costs, and what passes for the tokens that it gives. */
export class GuessMeter implements StepObserver {
  readonly #cost: StepCost;
  readonly #governor: Governor;

  constructor(cost: StepCost, governor: Governor) {
    this.#cost = cost;
    this.#governor = governor;
  }

  /** Prompts have more tokens at less cost: steps of them are not compared. Nor is the cost of those where the draft model computes a prompt. */
  add({ rows, rowCount, tokenCount, draftTokens }: Plan, { ms, gap, tokens }: StepTime): void {
    if (gap > 0) this.#cost.addGap(gap);
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
