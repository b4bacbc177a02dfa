import { expectedTokens } from "./acceptance.ts";
import type { StepCost } from "./cost.ts";

/** A sequence that may guess in the next step. */
export interface Candidate {
  /** Guesses that there are. */
  offered: number;
  /** How likely each is right if those before it were. */
  rate: number;
  /** Guesses that it is to run. */
  guesses: number;
  /** Whether the draft model makes them. */
  drafts: boolean;
  /** Tokens that the draft model has to compute first, and those that the sequence will get, over which that is spread. */
  lack: number;
  left: number;
}

/** What a step costs, and the tokens that it runs at most. */
export interface StepLimits {
  cost: StepCost;
  maxBatchTokens: number;
}

/** How far sequences guess: as long as the next guess is at least so likely to count, and no more than so many. */
interface Reach {
  level: number;
  most: number;
}

/** What is compared. Levels let those guess more whose guesses are right more often; alike, they guess most where few tokens are cheap. */
const REACHES: readonly Reach[] = [0.9, 0.75, 0.6, 0.45, 0.3, 0.15].flatMap((level) =>
  [1, 2, 4, Number.POSITIVE_INFINITY].map((most) => ({ level, most })),
);

/** By how much more tokens per millisecond have to come than without guesses before it begins. Chosen: above what measures vary by. */
const MARGIN = 1.04;

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
export function choose(candidates: readonly Candidate[], others: number, limits: StepLimits, isOn: boolean): boolean {
  const { cost } = limits;
  const rows = candidates.length + others;
  let best = cost.knows(rows) ? (rows / cost.stepMs(rows)) * (isOn ? 1 : MARGIN) : Number.POSITIVE_INFINITY;
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
  if (rows + guesses > maxBatchTokens) return 0;
  const drafts = cost.draftMs(passes, drafting) + cost.lackMs(lack, rows + guesses);
  const ms = drafts + cost.stepMs(rows + guesses) + (plain > 0 ? cost.stepMs(plain) : cost.gapMs());
  return (tokens + 2 * plain) / ms;
}

function guessesAt({ level, most }: Reach, { offered, rate }: Candidate): number {
  return Math.min(offered, most, rate >= 1 ? offered : Math.floor(Math.log(level) / Math.log(rate)));
}
