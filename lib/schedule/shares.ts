import { rank } from "./queue.ts";
import { pendingTokens, type Sequence } from "./sequence.ts";

/** How many tokens of prompts a step may have beside those that run, newcomers among them. */
export type PrefillLimit = (running: readonly Sequence[]) => number;

/**
 * What each running sequence has of a step's tokens, of which there are `most`: one where it decodes; returns the sum, and what the step has.
 * `prefills` is room for those that don't, empty before and after: a step makes no array.
 */
export function shareTokens(
  running: readonly Sequence[],
  most: number,
  mostPrefill: PrefillLimit,
  prefills: Sequence[],
): { kept: number; tokens: number } {
  let decodes = 0;
  for (const sequence of running) {
    const pending = pendingTokens(sequence);
    sequence.share = pending === 1 ? 1 : 0;
    decodes += sequence.share;
    if (pending > 1) prefills.push(sequence);
  }
  const tokens = prefills.length > 0 ? Math.min(most, decodes + mostPrefill(running)) : most;
  const kept = decodes + sharePrefills(prefills, tokens - decodes);
  prefills.length = 0;
  return { kept, tokens };
}

/**
 * How prompts share the tokens of a step: half of what decoding leaves goes to those that have the fewest tokens left, the rest to the first
 * by rank, and nobody gets what a sequence of higher priority can use. Returns how many they get in all.
 *
 * So a short prompt waits for no long one, and a long one, first by rank before long, takes half of every step, whatever comes after it.
 */
export function sharePrefills(prefills: Sequence[], tokens: number): number {
  for (const sequence of prefills) sequence.share = 0;
  const half = halfOf(tokens);
  const left = give(prefills.sort(byTokensToRun), half);
  return tokens - give(prefills.sort(rank), tokens - half + left);
}

/**
 * Whether a sequence that waits would run some of a step's tokens beside those that run; those of lower priority give way. It may say so
 * where others get all after all, never the other way round.
 */
export function wouldRun(newcomer: Sequence, running: readonly Sequence[], maxBatchTokens: number): boolean {
  let [tokens, all, sooner, shorter] = [maxBatchTokens, 0, 0, 0];
  for (const sequence of running) {
    const pending = pendingTokens(sequence);
    if (pending === 1 && sequence.options.priority >= newcomer.options.priority) tokens -= 1;
    if (pending <= 1) continue;
    all += pending;
    if (rank(sequence, newcomer) < 0) sooner += pending;
    if (byTokensToRun(sequence, newcomer) < 0) shorter += pending;
  }
  const half = halfOf(tokens);
  return tokens > 0 && (all < tokens || sooner < tokens - half || shorter < half);
}

/** Negative when `a` has a higher priority, or fewer tokens to run at the same. */
export function byTokensToRun(a: Sequence, b: Sequence): number {
  return b.options.priority - a.options.priority || tokensToRun(a) - tokensToRun(b) || rank(a, b);
}

const halfOf = (tokens: number): number => Math.floor(tokens / 2); // of a single token the first by rank has all: it must not stop

const tokensToRun = (sequence: Sequence): number => pendingTokens(sequence) - (sequence.expected ?? 0);

/** To each in order what it needs beside its share; returns what is left. */
function give(prefills: readonly Sequence[], tokens: number): number {
  let left = tokens;
  for (const sequence of prefills) {
    const more = Math.min(pendingTokens(sequence) - sequence.share, left);
    sequence.share += more;
    left -= more;
  }
  return left;
}
