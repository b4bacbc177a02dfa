import { expectedTokens } from "./acceptance.ts";
import type { StepCost } from "./cost.ts";

/** A sequence that may guess in the next step. */
export interface Candidate {
  /** Guesses that there are. */
  offered: number;
  /** How likely each is right if those before it were. */
  rate: number;
  /** The logarithm of that. */
  logRate: number;
  /** Guesses that it is to run. */
  guesses: number;
  /** Whether the draft model makes them. */
  drafts: boolean;
  /** Tokens that the draft model has to compute first, and those that the sequence will get, over which that is spread. */
  lack: number;
  left: number;
}

/** Of the tokens that a sequence may still get, so many are counted on: most end before their limit. Chosen. */
export const EXPECTED_TOKENS = 256;

/** What a step costs, and the tokens that it runs at most. */
export interface StepLimits {
  cost: StepCost;
  maxBatchTokens: number;
}

/** How far sequences guess: as long as the next guess is at least so likely to count (its logarithm), and no more than so many. */
interface Reach {
  logLevel: number;
  most: number;
}

/** What is compared. Levels let those guess more whose guesses are right more often; at 0 all guess alike. */
const REACHES: readonly Reach[] = [0.9, 0.75, 0.6, 0.45, 0.3, 0].flatMap((level) =>
  [1, 2, 4, Number.POSITIVE_INFINITY].map((most) => ({ logLevel: Math.log(level), most })),
);

/** Steps are tried up to so many times the largest that was measured: what is larger counts as cheap as that, and need not be. */
const MOST_GROWTH = 2;

/**
 * Sets how many guesses each candidate runs, so that most tokens come per millisecond; none if that is without. True if any does. `others`
 * run beside them. With guesses, steps are planned from results: those who guess run in every second step if others run in each. Nobody
 * guesses before it is known what a step without costs.
 *
 *     without    rows tokens                              in step(rows)
 *     with       what is expected of those who guess,     in drafts + step(rows + guesses) + step(others), or the gap if there are none
 *                and 2 of each other
 *
 * Drafts are the passes, and of what the draft model lacks the share that these tokens are of those that are left.
 */
export function choose(candidates: readonly Candidate[], others: number, limits: StepLimits): boolean {
  const { cost } = limits;
  const rows = candidates.length + others;
  let best = cost.knows(rows) ? rows / cost.plainMs(rows) : Number.POSITIVE_INFINITY;
  let chosen: Reach | undefined;
  for (const reach of REACHES) {
    const speed = speedAt(reach, candidates, others, limits);
    if (speed > best) [best, chosen] = [speed, reach];
  }
  for (const candidate of candidates) candidate.guesses = chosen === undefined ? 0 : guessesAt(chosen, candidate);
  return chosen !== undefined;
}

/** Tokens per millisecond; 0 where a step does not hold them. */
function speedAt(reach: Reach, candidates: readonly Candidate[], others: number, { cost, maxBatchTokens }: StepLimits): number {
  let [guessing, guesses, tokens, passes, drafting, lack] = [0, 0, 0, 0, 0, 0];
  for (const candidate of candidates) {
    const count = guessesAt(reach, candidate);
    if (count === 0) continue;
    guessing += 1;
    guesses += count;
    const expected = expectedTokens(candidate.rate, count);
    tokens += expected;
    if (!candidate.drafts) continue;
    drafting += 1;
    lack += candidate.lack * Math.min(1, expected / candidate.left);
    passes = Math.max(passes, count);
  }
  const rows = candidates.length + others;
  const plain = rows - guessing;
  if (rows + guesses > Math.min(maxBatchTokens, MOST_GROWTH * Math.max(rows, cost.largest))) return 0;
  const drafts = cost.draftMs(passes, drafting) + cost.lackMs(lack, rows);
  const ms = drafts + cost.stepMs(rows + guesses) + (plain > 0 ? cost.plainMs(plain) : cost.gapMs());
  return (tokens + 2 * plain) / ms;
}

function guessesAt({ logLevel, most }: Reach, { offered, rate, logRate }: Candidate): number {
  return Math.min(offered, most, rate >= 1 ? offered : Math.floor(logLevel / logRate));
}
