import type { CheckedSpeculate } from "../api/speculate.ts";
import { StepCost } from "../speculate/cost.ts";
import { Drafter } from "../speculate/drafter.ts";
import { Governor } from "../speculate/governor.ts";
import { Lookup } from "../speculate/lookup.ts";
import type { Proposer } from "../speculate/proposer.ts";
import { Speculation } from "../speculate/speculation.ts";

/** What tests and benchmarks, not callers, may change of speculation. */
export interface SpeculationTrial {
  /** Guesses whatever it costs. */
  always?: boolean;
  /** Takes the place of a proposer. */
  wrap?: (proposer: Proposer) => Proposer;
}

/** Who guesses in an engine, and what steps cost there. `draftShare`: bytes of the draft model's weights by the model's. */
export function createSpeculation(
  { lookup, lookupTokens, draft, draftTokens }: CheckedSpeculate,
  { draftShare, maxBatchTokens }: { draftShare: number; maxBatchTokens: number },
  { always, wrap = (proposer) => proposer }: SpeculationTrial = {},
): { speculation: Speculation; cost: StepCost; governor: Governor } {
  const cost = new StepCost(draftShare);
  const governor = new Governor(cost);
  const proposers: Proposer[] = [];
  if (lookup) proposers.push(new Lookup(lookupTokens));
  if (draft !== undefined) proposers.push(new Drafter(draftTokens));
  return { speculation: new Speculation(proposers.map(wrap), { cost, maxBatchTokens }, always ? undefined : governor), cost, governor };
}
