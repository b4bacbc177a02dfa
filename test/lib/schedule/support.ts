import { expect } from "vitest";
import type { CacheGroupConfig } from "../../../lib/schedule/groups/group.ts";
import { createPlan, type Plan, type PlanRow } from "../../../lib/schedule/plan.ts";
import { Scheduler, type SchedulerConfig } from "../../../lib/schedule/scheduler.ts";
import type { Sequence, SequenceOptions } from "../../../lib/schedule/sequence.ts";

/** Groups of each kind. */
export const allOf = (pages: number): CacheGroupConfig => ({ kind: "all", window: 0, pages, draft: false });
export const windowOf = (window: number, pages: number): CacheGroupConfig => ({ kind: "window", window, pages, draft: false });

/** A small scheduler. */
export function schedulerOf(config: Partial<SchedulerConfig> = {}): Scheduler {
  return new Scheduler({
    pageSize: 4,
    maxBatchTokens: 16,
    maxSlots: 8,
    maxContext: 64,
    prefixCache: true,
    modelId: "model",
    groups: [allOf(32)],
    ...config,
  });
}

/** A sequence of the tokens first, first + 1, ... */
export function options(length: number, more: Partial<SequenceOptions> & { first?: number } = {}): SequenceOptions {
  const { first = 0, ...rest } = more;
  const prompt = Int32Array.from({ length }, (_, i) => first + i);
  return { prompt, maxTokens: 8, priority: 0, output: "sample", cacheSalt: "", adapter: "", media: [], speculate: true, ...rest };
}

/** Rows as text, `id:start+count output`. */
export const rowsOf = (plan: Plan): string[] => {
  return plan.rows.slice(0, plan.rowCount).map(({ sequence, start, count, output }) => `${sequence.id}:${start}+${count} ${output}`);
};

/** Tokens that one row of the sequence gave. */
export function give(scheduler: Scheduler, sequence: Sequence, ...tokens: number[]): void {
  scheduler.settle(sequence, Int32Array.from(tokens), 0, tokens.length);
}

/** Plans a step, and its tokens settle at once, unless `settle` is false. */
export function step(scheduler: Scheduler, settle = true, mostPrefill: number = Number.POSITIVE_INFINITY): string[] {
  const plan = createPlan();
  expect(scheduler.schedule(plan, () => mostPrefill)).toBe(plan.rowCount > 0);
  scheduler.checkIntegrity();
  for (const { sequence, output } of plan.rows.slice(0, plan.rowCount)) {
    if (settle && (output === "sample" || output === "logits")) give(scheduler, sequence, 1000 + sequence.length);
  }
  return rowsOf(plan);
}

/** Runs a sequence alone to its last token. */
export function complete(scheduler: Scheduler, sequence: Sequence): void {
  while (sequence.length < sequence.promptLength + sequence.options.maxTokens) step(scheduler);
  scheduler.finish(sequence);
}

/** Names of the prefixes of a prompt's full pages. */
export function hashesOf(sequenceOptions: SequenceOptions, modelId = "model"): string[] {
  const scheduler = schedulerOf({ modelId, maxBatchTokens: 64 });
  const sequence = scheduler.add(sequenceOptions);
  step(scheduler);
  scheduler.finish(sequence);
  return sequence.hashes;
}

/** Pages that sequences hold, by group. */
export const used = (scheduler: Scheduler): number[] => scheduler.stats().groups.map(({ used }) => used);

/** As a speculator would have it: a row that samples runs `count` guesses of what follows, too, and asks for a token after each. */
export function addGuesses(plan: Plan, row: PlanRow, count: number): void {
  const { sequence } = row;
  plan.tokenCount += count;
  row.count += count;
  row.outputs += count;
  row.guesses += count;
  sequence.computed += count;
  sequence.sampling += count;
  sequence.asked[sequence.asked.length - 1]! += count;
  sequence.held = true;
}
