import type { PagedCache } from "./cache.ts";
import { NO_EXTRAS, type Plan, type RowExtras } from "./plan.ts";
import { type Sequence, tokensLeft } from "./sequence.ts";
import type { Speculator } from "./speculator.ts";

/** Plans what rows guess: as much as the speculator would, as far as there are tokens and pages that nobody else needs. */
export class GuessPlanner {
  readonly #speculator: Speculator;
  readonly #cache: PagedCache;
  readonly #maxBatchTokens: number;
  /** Of the row that is planned. */
  readonly #extras: RowExtras = { ...NO_EXTRAS };

  constructor(speculator: Speculator, cache: PagedCache, maxBatchTokens: number) {
    this.#speculator = speculator;
    this.#cache = cache;
    this.#maxBatchTokens = maxBatchTokens;
  }

  /**
   * What the sequence's next row guesses, which ends at `end` without, within `budget` tokens in all; `spare` pages of each group are left.
   * Takes the pages. The result holds until the next call.
   */
  plan(plan: Plan, sequence: Sequence, end: number, budget: number, spare: number): Readonly<RowExtras> {
    const { computed, length, sampling, options } = sequence;
    if (!options.speculate || options.output !== "sample" || end !== length + sampling) return NO_EXTRAS;
    const most = Math.min(computed + budget - end, tokensLeft(sequence) - 1);
    let count = most <= 0 ? 0 : this.#speculator.guess(sequence, most);
    if (count === 0) return NO_EXTRAS;
    const extras = Object.assign(this.#extras, NO_EXTRAS);
    if (this.#speculator.drafts(sequence)) count = this.#draft(plan, sequence, end, count);
    count = this.#cache.cut(sequence, end + count - computed) - end;
    while (count > 0 && !this.#cache.reserve(sequence, end + count, spare)) count -= 1;
    extras.guesses = count;
    extras.drafts = Math.min(extras.drafts, count);
    return extras;
  }

  /**
   * Has the draft model run what it lacks of the tokens before `end`, as far as a step's budget of tokens goes, and guess `count` tokens.
   * Returns how many it can: none while it is behind, nor without pages.
   */
  #draft(plan: Plan, sequence: Sequence, end: number, count: number): number {
    const lack = end - sequence.draftComputed;
    const run = Math.min(lack, this.#maxBatchTokens - plan.draftTokens);
    const drafts = run === lack ? count : 0;
    if (run === 0 || !this.#cache.reserveDraft(sequence, sequence.draftComputed + run + Math.max(0, drafts - 1))) return 0;
    this.#extras.draftCount = run;
    this.#extras.drafts = drafts;
    return drafts;
  }
}
