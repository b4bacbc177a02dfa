import type { CheckedSpeculate } from "../api/speculate.ts";
import { StepCost } from "../speculate/cost.ts";
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

/** Who guesses in an engine, and what steps cost there. */
export function createSpeculation(
  { lookupTokens }: CheckedSpeculate,
  trial: SpeculationTrial = {},
): { speculation: Speculation; cost: StepCost } {
  const cost = new StepCost(0);
  const proposers: Proposer[] = [new Lookup(lookupTokens)];
  const { wrap = (proposer) => proposer } = trial;
  return { speculation: new Speculation(proposers.map(wrap), cost, trial.always), cost };
}
