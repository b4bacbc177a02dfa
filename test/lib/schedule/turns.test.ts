import { beforeEach, expect, test, vi } from "vitest";
import type { GroupPages } from "../../../lib/schedule/groups/group.ts";
import { createGroup } from "../../../lib/schedule/groups/index.ts";
import { createPlan } from "../../../lib/schedule/plan.ts";
import { Scheduler } from "../../../lib/schedule/scheduler.ts";
import { allOf, give, options, windowOf } from "./support.ts";

/** What one turn of the event loop does for long prompts, counted: times would be those of the machine. */

const counts = vi.hoisted(() => ({ hashes: 0, lookups: 0 }));

vi.mock("node:crypto", async (original) => {
  const crypto = await original<typeof import("node:crypto")>();
  const hash = (...args: Parameters<typeof crypto.hash>) => {
    counts.hashes += 1;
    return crypto.hash(...args);
  };
  return { ...crypto, hash, default: { ...crypto, hash } };
});

beforeEach(() => {
  counts.hashes = 0;
  counts.lookups = 0;
});

const CONTEXT = 131_072;
const PROMPT = CONTEXT - 64;
const PROMPT_PAGES = Math.floor((PROMPT - 1) / 16);

const SIZES = { pageSize: 16, maxBatchTokens: 4096, maxSlots: 256, maxContext: CONTEXT, prefixCache: true, modelId: "model" };

/** A scheduler of the engine's sizes, whose lookups of pages are counted. */
function createScheduler(pages: number): Scheduler {
  return new Scheduler({ ...SIZES, groups: [allOf(pages)] }, undefined, (group, index, sizes): GroupPages => {
    const made = createGroup(group, index, sizes);
    const find = made.pool.find.bind(made.pool);
    made.pool.find = (hash) => {
      counts.lookups += 1;
      return find(hash);
    };
    return made;
  });
}

/** Plans and settles until nobody waits; returns the most hashes and lookups of one call. */
function runAll(scheduler: Scheduler): { hashes: number; lookups: number } {
  const plan = createPlan();
  const most = { hashes: 0, lookups: 0 };
  while (scheduler.waiting.length > 0) {
    const before = { ...counts };
    expect(scheduler.schedule(plan) || scheduler.hasPutOff).toBe(true);
    most.hashes = Math.max(most.hashes, counts.hashes - before.hashes);
    most.lookups = Math.max(most.lookups, counts.lookups - before.lookups);
    for (const { sequence, output } of plan.rows.slice(0, plan.rowCount)) if (output === "sample") give(scheduler, sequence, 7);
  }
  return most;
}

test("128 choices of 128k tokens: the prompt is named once, in pieces, and looked up for one choice a step", () => {
  const scheduler = createScheduler(16_384);
  const prompt = options(PROMPT, { maxTokens: 64 });
  const first = scheduler.add(prompt);
  for (let n = 1; n < 128; n++) scheduler.add({ ...prompt, after: first });
  const most = runAll(scheduler);
  expect(scheduler.running).toHaveLength(128);
  expect(scheduler.running.slice(1).every(({ cachedTokens }) => cachedTokens === PROMPT_PAGES * 16)).toBe(true);
  expect(counts.hashes).toBeLessThan(PROMPT_PAGES + 4 * 128); // and the pages of their output
  expect(most.hashes).toBeLessThanOrEqual(1024 + 200);
  expect(most.lookups).toBeLessThanOrEqual(3 * PROMPT_PAGES + 10); // what it has, before and when it comes in
  scheduler.checkIntegrity();
});

test.each([[[allOf(1024)]], [[windowOf(512, 512), allOf(1024)]]])(
  "a fresh prompt runs at once, whatever its length: one page has a name",
  (groups) => {
    const scheduler = new Scheduler({ ...SIZES, maxContext: 8192, maxBatchTokens: 1024, groups });
    for (const first of [0, 10_000]) {
      counts.hashes = 0;
      const prompt = scheduler.add(options(4096, { first, maxTokens: 1 }));
      const plan = createPlan();
      expect([scheduler.schedule(plan), counts.hashes]).toEqual([true, 2]); // the root, and the page that the cache lacks
      while (prompt.computed < 4096) scheduler.schedule(plan);
      scheduler.finish(prompt);
      expect(counts.hashes).toBe(1 + 256); // each page once, as it is full
    }
  },
);

test("a prompt that waits for the one that computes its beginning is named no further than that one has come", () => {
  const scheduler = createScheduler(16_384);
  const plan = createPlan();
  const first = scheduler.add(options(60_000, { maxTokens: 1 }));
  const second = scheduler.add(options(60_001, { maxTokens: 1 }));
  while (second.state === "waiting") {
    counts.hashes = 0;
    scheduler.schedule(plan);
    expect(counts.hashes).toBeLessThanOrEqual(2 * (256 + 2)); // the pages of a step, by both
  }
  expect([first.computed, second.cachedTokens]).toEqual([60_000, 60_000]);
});

test("nothing runs while a cached prompt gets its names: the scheduler asks to be called again", () => {
  const scheduler = createScheduler(16_384);
  const plan = createPlan();
  const before = scheduler.add(options(PROMPT, { maxTokens: 1 }));
  while (before.computed < PROMPT) scheduler.schedule(plan);
  scheduler.finish(before);
  scheduler.add(options(PROMPT, { maxTokens: 1 }));
  const planned = Array.from({ length: 9 }, () => [scheduler.schedule(plan), scheduler.hasPutOff]);
  expect(planned.slice(0, 7)).toEqual(Array.from({ length: 7 }, () => [false, true]));
  expect(planned.slice(7)).toEqual([[true, false], [false, false]]); // biome-ignore format: a line
});

test("a cached prompt that waits for room is looked up again when there may be some, not in every step", () => {
  const scheduler = createScheduler(8200);
  const plan = createPlan();
  const run = (steps: number): void => {
    for (let i = 0; i < steps; i++) {
      scheduler.schedule(plan);
      for (const { sequence, output } of plan.rows.slice(0, plan.rowCount)) if (output === "sample") give(scheduler, sequence, 7);
    }
  };
  const cached = scheduler.add(options(60_000, { maxTokens: 1 }));
  run(30);
  scheduler.finish(cached);
  const large = scheduler.add(options(80_000, { maxTokens: 50_000, first: 1_000_000 }));
  run(40);
  const waits = scheduler.add(options(60_100, { maxTokens: 5 }));
  run(8);
  expect([large.state, waits.state]).toEqual(["running", "waiting"]);
  counts.lookups = 0;
  run(200);
  expect([waits.state, counts.lookups]).toEqual(["waiting", 0]);
  scheduler.finish(large);
  run(2);
  expect(waits.state).toBe("running");
});

test("of many that begin like a prompt which is computed each is looked at once a step, however many run", () => {
  const scheduler = new Scheduler({ ...SIZES, maxBatchTokens: 252, groups: [allOf(16_384)] });
  const plan = createPlan();
  for (let i = 0; i < 250; i++) scheduler.add(options(1, { first: 1_000_000 + i, maxTokens: 1000 }));
  const long = scheduler.add(options(16_000));
  for (let i = 0; i < 3; i++) scheduler.schedule(plan);
  expect([scheduler.running.length, long.state]).toEqual([251, "running"]);
  const waiting = Array.from({ length: 1000 }, () => scheduler.add(options(400)));
  do scheduler.schedule(plan);
  while (scheduler.hasPutOff); // until all have their names
  let reads = 0;
  for (const sequence of [...waiting, ...scheduler.running]) {
    const { hashes } = sequence;
    Object.defineProperty(sequence, "hashes", {
      get: () => {
        reads += 1;
        return hashes;
      },
    });
  }
  scheduler.schedule(plan);
  expect(waiting.every(({ state }) => state === "waiting")).toBe(true);
  expect(reads).toBeLessThan(2 * 1251);
});

test("a prompt is paid for once, whether it is named or looked up: as many come in as the bound of pages allows", () => {
  const scheduler = new Scheduler({ ...SIZES, maxBatchTokens: 65_536, groups: [allOf(16_384)] });
  const plan = createPlan();
  const addAll = () => Array.from({ length: 100 }, (_, i) => scheduler.add(options(17 * 16 + 1, { first: 1000 * i, maxTokens: 1 })));
  const fresh = addAll();
  scheduler.schedule(plan);
  expect([scheduler.running.length, scheduler.hasPutOff]).toEqual([100, false]); // a page each
  for (const sequence of fresh) scheduler.finish(sequence);
  addAll();
  scheduler.schedule(plan);
  expect([scheduler.running.length, scheduler.hasPutOff]).toEqual([60, true]); // 17 pages each
});
