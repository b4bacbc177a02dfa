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
}

/** Least probabilities of being needed that are compared: who guesses goes on while the next guess is at least so likely to count. */
const LEVELS = [0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1] as const;

/** By how much more tokens per millisecond have to come than without guesses before it begins. Chosen: above what measures vary by. */
const MARGIN = 1.04;

/**
 * Sets how many guesses each candidate runs, so that most tokens come per millisecond; none if that is without. True if any does. `others`
 * run beside them. With guesses, steps are planned from results: those who guess run in every second step if others run in each.
 *
 *     without    rows tokens                              in step(rows)
 *     with       what is expected of those who guess,     in drafts + step(rows + guesses) + step(others), or the gap if there are none
 *                and 2 of each other
 */
export function choose(candidates: readonly Candidate[], others: number, cost: StepCost, isOn: boolean): boolean {
  const rows = candidates.length + others;
  let best = (rows / cost.stepMs(rows)) * (isOn ? 1 : MARGIN);
  let level = 1;
  for (const tried of LEVELS) {
    const speed = speedAt(tried, candidates, others, cost);
    if (speed > best) [best, level] = [speed, tried];
  }
  for (const candidate of candidates) candidate.guesses = level === 1 ? 0 : guessesAt(level, candidate);
  return level < 1;
}

/** Tokens per millisecond. */
function speedAt(level: number, candidates: readonly Candidate[], others: number, cost: StepCost): number {
  let [guessing, guesses, tokens, passes, drafting] = [0, 0, 0, 0, 0];
  for (const candidate of candidates) {
    const count = guessesAt(level, candidate);
    if (count === 0) continue;
    guessing += 1;
    guesses += count;
    tokens += expectedTokens(candidate.rate, count);
    if (!candidate.drafts) continue;
    drafting += 1;
    passes = Math.max(passes, count);
  }
  const rows = candidates.length + others;
  const plain = rows - guessing;
  const ms = cost.draftMs(passes, drafting) + cost.stepMs(rows + guesses) + (plain > 0 ? cost.stepMs(plain) : cost.gapMs());
  return (tokens + 2 * plain) / ms;
}

/** So many that all of them are right with at least that probability. */
function guessesAt(level: number, { offered, rate }: Candidate): number {
  return rate >= 1 ? offered : Math.min(offered, Math.floor(Math.log(level) / Math.log(rate)));
}
