import { describe, expect, test } from "vitest";
import { maxContextOf } from "../../../lib/schedule/cache.ts";
import { createPlan, type Plan } from "../../../lib/schedule/plan.ts";
import { Scheduler, type SchedulerConfig } from "../../../lib/schedule/scheduler.ts";
import type { Sequence, SequenceOptions } from "../../../lib/schedule/sequence.ts";

function schedulerOf(config: Partial<SchedulerConfig> = {}): Scheduler {
  return new Scheduler({
    pageSize: 4,
    maxBatchTokens: 16,
    maxSlots: 8,
    maxContext: 64,
    prefixCache: true,
    modelId: "model",
    groups: [{ window: 0, pages: 32 }],
    ...config,
  });
}

function options(length: number, more: Partial<SequenceOptions> & { first?: number } = {}): SequenceOptions {
  const { first = 0, ...rest } = more;
  return { prompt: Int32Array.from({ length }, (_, i) => first + i), maxTokens: 8, priority: 0, output: "sample", cacheSalt: "", ...rest };
}

/** Rows as text, `id:start+count output`. */
const rowsOf = (plan: Plan): string[] => {
  return plan.rows.slice(0, plan.rowCount).map(({ sequence, start, count, output }) => `${sequence.id}:${start}+${count} ${output}`);
};

/** Plans a step, and its tokens settle at once, unless `settle` is false. */
function step(scheduler: Scheduler, settle = true): string[] {
  const plan = createPlan();
  expect(scheduler.schedule(plan)).toBe(plan.rowCount > 0);
  scheduler.checkIntegrity();
  for (const { sequence, output } of plan.rows.slice(0, plan.rowCount)) {
    if (settle && (output === "sample" || output === "logits")) scheduler.settle(sequence, 1000 + sequence.length);
  }
  return rowsOf(plan);
}

/** Runs a sequence alone to its last token. */
function complete(scheduler: Scheduler, sequence: Sequence): void {
  while (sequence.length < sequence.promptLength + sequence.options.maxTokens) step(scheduler);
  scheduler.finish(sequence);
}

const used = (scheduler: Scheduler): number[] => scheduler.stats().groups.map(({ used }) => used);

describe("steps", () => {
  test("a prompt in chunks, then one token a step; plans and their rows are reused", () => {
    const scheduler = schedulerOf();
    const sequence = scheduler.add(options(20, { maxTokens: 3 }));
    const plan = createPlan();
    const seen: string[][] = [];
    const rows = new Set<unknown>();
    while (scheduler.schedule(plan)) {
      seen.push(rowsOf(plan));
      rows.add(plan.rows[0]);
      if (plan.rows[0]!.output === "sample") scheduler.settle(sequence, 7);
    }
    expect(seen).toEqual([["0:0+16 none"], ["0:16+4 sample"], ["0:20+1 sample"], ["0:21+1 sample"]]);
    expect(rows.size).toBe(1);
    expect([...sequence.tokens.subarray(20, sequence.length)]).toEqual([7, 7, 7]);
  });

  test("a step is planned before the tokens of the one before are known", () => {
    const scheduler = schedulerOf();
    const sequence = scheduler.add(options(3, { maxTokens: 3 }));
    expect(step(scheduler, false)).toEqual(["0:0+3 sample"]);
    expect(step(scheduler, false)).toEqual(["0:3+1 sample"]);
    expect([sequence.sampling, sequence.length, sequence.computed]).toEqual([2, 3, 4]);
    scheduler.settle(sequence, 5);
    expect(step(scheduler, false)).toEqual(["0:4+1 sample"]);
    expect(step(scheduler, false)).toEqual([]); // the third token is the last
  });

  test("a sequence with a processor waits for its token, others go on", () => {
    const scheduler = schedulerOf();
    const processed = scheduler.add(options(3, { output: "logits" }));
    scheduler.add(options(2));
    expect(step(scheduler, false)).toEqual(["0:0+3 logits", "1:0+2 sample"]);
    expect(step(scheduler)).toEqual(["1:2+1 sample"]);
    scheduler.retry(processed); // of no effect: its logits are not lost
    scheduler.settle(processed, 5);
    expect(step(scheduler)[0]).toBe("0:3+1 logits");
  });

  test("a score's rows all give back something, nothing is sampled, and no token is skipped", () => {
    const scheduler = schedulerOf();
    complete(scheduler, scheduler.add(options(20)));
    const score = scheduler.add(options(20, { output: "score", maxTokens: 0 }));
    expect([step(scheduler), step(scheduler), step(scheduler)]).toEqual([["1:0+16 score"], ["1:16+4 score"], []]);
    expect(score.cachedTokens).toBe(0);
  });

  test("fairness: while a long prompt comes in, each running stream gets its token in every step", () => {
    const scheduler = schedulerOf({ maxBatchTokens: 12, maxContext: 400, groups: [{ window: 0, pages: 200 }] });
    for (let i = 0; i < 4; i++) scheduler.add(options(2, { maxTokens: 100, priority: i % 2 }));
    step(scheduler);
    scheduler.add(options(300, { priority: 5, first: 50 })); // sooner than all, and still no one stalls
    for (let start = 0; start < 296; start += 8) {
      const rows = step(scheduler);
      expect(rows).toContain(`4:${start}+8 none`);
      expect(rows.filter((row) => row.endsWith("+1 sample"))).toHaveLength(4);
    }
  });

  test("no more run than a step has tokens for, nor than there are slots", () => {
    for (const limits of [{ maxBatchTokens: 3 }, { maxSlots: 3 }]) {
      const scheduler = schedulerOf(limits);
      for (let i = 0; i < 5; i++) scheduler.add(options(1));
      step(scheduler);
      expect([step(scheduler).length, scheduler.running.length, scheduler.waiting.length]).toEqual([3, 3, 2]);
      scheduler.finish(scheduler.running[0]!);
      expect(step(scheduler)).toHaveLength(3);
    }
  });
});

describe("order", () => {
  test("higher priority first, then first come", () => {
    const scheduler = schedulerOf({ maxSlots: 1 });
    for (const priority of [0, 2, 0, 2, 1]) scheduler.add(options(2, { priority, maxTokens: 1 }));
    const order: number[] = [];
    while (scheduler.waiting.length > 0) {
      step(scheduler);
      order.push(scheduler.running[0]!.id);
      scheduler.finish(scheduler.running[0]!);
    }
    expect(order).toEqual([1, 3, 4, 0, 2]);
  });

  test("a small prompt does not overtake a large one that has too little room", () => {
    const scheduler = schedulerOf({ maxContext: 32, groups: [{ window: 0, pages: 8 }] });
    const first = scheduler.add(options(16));
    scheduler.add(options(24, { first: 100 }));
    scheduler.add(options(1, { first: 200 }));
    expect([step(scheduler), step(scheduler)]).toEqual([["0:0+16 sample"], ["0:16+1 sample"]]);
    scheduler.finish(first);
    expect(step(scheduler)).toEqual(["1:0+16 none"]);
  });

  test("the last by rank gives its pages back, keeps its place and its tokens, and continues from the cache", () => {
    const scheduler = schedulerOf({ maxContext: 24, groups: [{ window: 0, pages: 6 }], prefixCache: true });
    const [low, high] = [
      scheduler.add(options(7, { maxTokens: 12, priority: -1, first: 100 })),
      scheduler.add(options(7, { maxTokens: 17 })),
    ];
    scheduler.add(options(1, { priority: -1, first: 200 }));
    const preempted = () => low.preemptions > 0;
    while (!preempted()) step(scheduler);
    expect([low.state, low.slot, low.computed, high.preemptions, scheduler.waiting[0]]).toEqual(["waiting", -1, 0, 0, low]);
    const length = low.length;
    expect(step(scheduler)).toHaveLength(1); // too little room for it, and no one overtakes
    scheduler.finish(high);
    expect(step(scheduler)[0]).toBe(`0:8+${length - 8} sample`); // two full pages were still cached
    expect([low.length, low.cachedTokens]).toEqual([length + 1, 0]);
  });

  test("a token that settles after a preemption counts; before, the sequence does not come back", () => {
    const scheduler = schedulerOf({ maxContext: 8, groups: [{ window: 0, pages: 3 }], prefixCache: false });
    const first = scheduler.add(options(3, { maxTokens: 5 }));
    const second = scheduler.add(options(4, { maxTokens: 4 }));
    expect(step(scheduler)).toEqual(["0:0+3 sample", "1:0+4 sample"]);
    expect(step(scheduler, false)).toEqual(["0:3+1 sample", "1:4+1 sample"]);
    expect(second.sampling).toBe(1);
    expect(step(scheduler, false)).toEqual(["0:4+1 sample"]);
    expect([second.state, second.sampling]).toEqual(["waiting", 1]);
    scheduler.finish(first);
    expect(step(scheduler)).toEqual([]);
    scheduler.settle(second, 77);
    expect(step(scheduler)).toEqual(["1:0+6 sample"]);
    expect(second.tokens[5]).toBe(77);
  });

  test("nobody comes in during a step that preempts, nor into the pages that those who run need next", () => {
    const scheduler = schedulerOf({ maxContext: 16, groups: [{ window: 0, pages: 5 }], prefixCache: false, maxBatchTokens: 20 });
    const first = scheduler.add(options(4, { maxTokens: 12 }));
    const second = scheduler.add(options(12, { maxTokens: 4 }));
    scheduler.add(options(1));
    expect(step(scheduler, false)).toEqual(["0:0+4 sample", "1:0+12 sample"]); // the last page is for one of the two
    scheduler.settle(first, 5);
    for (const start of [4, 5, 6, 7]) expect(step(scheduler)).toEqual([`0:${start}+1 sample`]);
    expect(step(scheduler)).toEqual(["0:8+1 sample"]);
    expect([second.state, second.sampling]).toEqual(["waiting", 1]);
    expect(step(scheduler)).toEqual(["0:9+1 sample", "2:0+1 sample"]);
  });

  test("logits of a preempted sequence are asked for again", () => {
    const scheduler = schedulerOf({ maxContext: 12, groups: [{ window: 0, pages: 3 }], prefixCache: false });
    const first = scheduler.add(options(4));
    const second = scheduler.add(options(3, { output: "logits" }));
    expect(step(scheduler, false)).toEqual(["0:0+4 sample", "1:0+3 logits"]);
    scheduler.settle(first, 5);
    while (first.computed < 9) step(scheduler); // its third page is the second's first
    expect([second.state, second.awaitingToken, second.sampling]).toEqual(["waiting", true, 1]);
    scheduler.finish(first);
    expect(step(scheduler)).toEqual([]);
    scheduler.retry(second);
    scheduler.retry(second);
    expect([second.sampling, second.length]).toEqual([0, 3]);
    expect(step(scheduler)).toEqual(["1:0+3 logits"]);
  });

  test("1.5 sequences fit: 64 requests end, the first by rank never waits", () => {
    const scheduler = schedulerOf({ maxContext: 40, groups: [{ window: 0, pages: 15 }], maxSlots: 64 });
    for (let i = 0; i < 64; i++) scheduler.add(options(4, { maxTokens: 36, first: 100 * i }));
    for (let ended = 0; ended < 64; ) {
      const oldest = scheduler.running[0];
      const length = oldest?.length;
      step(scheduler);
      if (oldest !== undefined) expect(oldest.length).toBe(length! + 1);
      for (const sequence of [...scheduler.running]) {
        if (sequence.length < 40) continue;
        expect(sequence.id).toBe(ended); // first come, first done
        scheduler.finish(sequence);
        ended += 1;
      }
    }
    expect(scheduler.stats().preemptions).toBeGreaterThan(50);
    expect(used(scheduler)).toEqual([0]);
  });
});

describe("prefix cache", () => {
  test("a prompt again runs its last page only, or what is new in it", () => {
    const scheduler = schedulerOf();
    complete(scheduler, scheduler.add(options(16, { maxTokens: 1 })));
    const again = scheduler.add(options(16, { maxTokens: 1 }));
    expect(step(scheduler)).toEqual(["1:12+4 sample"]);
    scheduler.finish(again);
    scheduler.add(options(30));
    expect(step(scheduler)).toEqual(["2:16+14 sample"]);
    expect(scheduler.stats()).toMatchObject({ prefixHits: 12 + 16, prefixQueries: 16 + 16 + 30 });
    expect(scheduler.running[0]!.cachedTokens).toBe(16);
  });

  test("output is found by the next turn of a chat", () => {
    const scheduler = schedulerOf();
    const turn = scheduler.add(options(6, { maxTokens: 8 }));
    complete(scheduler, turn);
    scheduler.add({ ...options(0), prompt: turn.tokens.slice(0, 14) });
    expect(step(scheduler)).toEqual(["1:12+2 sample"]);
  });

  test("off, of another salt or of another model: nothing is found", () => {
    for (const [config, cacheSalt, cached] of [
      [{}, "a", 12],
      [{}, "b", 0],
      [{}, "", 0],
      [{ prefixCache: false }, "a", 0],
    ] as const) {
      const scheduler = schedulerOf(config);
      complete(scheduler, scheduler.add(options(16, { cacheSalt: "a" })));
      const again = scheduler.add(options(16, { cacheSalt }));
      step(scheduler);
      expect(again.cachedTokens).toBe(cached);
    }
    const hashOf = (modelId: string, cacheSalt: string) => {
      const scheduler = schedulerOf({ modelId });
      const sequence = scheduler.add(options(5, { cacheSalt }));
      step(scheduler);
      scheduler.finish(sequence);
      return sequence.hashes[1];
    };
    const names: [string, string][] = [["m", "s"], ["ms", ""], ["", "ms"], ["m", ""], ["m\0", "s"]]; // biome-ignore format: a line
    expect(new Set(names.map((name) => hashOf(...name))).size).toBe(names.length);
  });

  test("pages that a submitted step fills serve the next one, not the same; choices wait for the first", () => {
    const scheduler = schedulerOf({ maxBatchTokens: 40 });
    const first = scheduler.add(options(17));
    scheduler.add(options(17));
    scheduler.add(options(17, { after: first }));
    scheduler.add(options(17, { after: first, priority: 1 }));
    expect(step(scheduler, false)).toEqual(["0:0+17 sample", "1:0+17 sample"]);
    expect(step(scheduler, false)).toEqual(["0:17+1 sample", "1:17+1 sample", "3:16+1 sample", "2:16+1 sample"]);
    expect(used(scheduler)).toEqual([5 + 5 + 1 + 1]);
  });

  test("choices go on by themselves when the first has ended", () => {
    const scheduler = schedulerOf();
    const first = scheduler.add(options(30));
    scheduler.add(options(30, { after: first }));
    expect(step(scheduler)).toEqual(["0:0+16 none"]);
    scheduler.finish(first);
    expect(step(scheduler)).toEqual(["1:16+14 sample"]); // what the first did compute is of use
  });

  test("a page is not found before all of its tokens are known", () => {
    const scheduler = schedulerOf();
    const sequence = scheduler.add(options(3));
    step(scheduler, false);
    step(scheduler, false); // writes the page's last token, whose id is on the device only
    expect(sequence.computed).toBe(4);
    scheduler.finish(sequence);
    expect(scheduler.stats().groups[0]!.cached).toBe(0);
  });

  test("the end of a prefix is evicted before its beginning", () => {
    const scheduler = schedulerOf({ maxContext: 32, groups: [{ window: 0, pages: 8 }] });
    complete(scheduler, scheduler.add(options(24, { maxTokens: 1 })));
    complete(scheduler, scheduler.add(options(16, { maxTokens: 1, first: 100 }))); // takes two free pages and two of the six cached
    const again = scheduler.add(options(24));
    step(scheduler);
    expect(again.cachedTokens).toBe(16);
  });
});

describe("windows", () => {
  test("gemma3's shape, 5 of 6 layers with a window of 512, at 8k: 0.3 of a full cache at most, at every step", () => {
    const groups = [
      { window: 0, pages: 512 },
      { window: 512, pages: 66 },
    ];
    const scheduler = schedulerOf({ pageSize: 16, maxBatchTokens: 512, maxContext: 8192, groups });
    const sequence = scheduler.add(options(8000, { maxTokens: 192 }));
    let most = 0;
    while (sequence.length < 8192) {
      step(scheduler);
      const [all, window] = used(scheduler) as [number, number];
      expect(all).toBe(Math.ceil(sequence.computed / 16));
      most = Math.max(most, window);
    }
    expect(most).toBeLessThanOrEqual((512 + 512) / 16 + 1);
    const [all, window] = used(scheduler) as [number, number];
    expect(window).toBeLessThanOrEqual(512 / 16 + 1);
    expect((all + 5 * window) / (6 * 512)).toBeLessThanOrEqual(0.3);
    expect((all + 5 * most) / (6 * 512)).toBeLessThanOrEqual(0.3);
    scheduler.finish(sequence);
    const again = scheduler.add(options(8000, { maxTokens: 192 }));
    step(scheduler);
    expect([again.cachedTokens, used(scheduler)[1]]).toEqual([7984, 33]); // the window before the prompt's end was still cached
  });
});

describe("refusals", () => {
  const scheduler = schedulerOf({ maxContext: 16 });

  test.each([
    ["PROMPT_EMPTY", options(0)],
    ["PROMPT_TOO_LONG", options(16)],
    ["PROMPT_TOO_LONG", options(17, { output: "score", maxTokens: 0 })],
    ["INVALID_ARGUMENT", options(10, { maxTokens: 7 })],
    ["INVALID_ARGUMENT", options(10, { maxTokens: 0 })],
  ])("%s", (code, refused) => {
    expect(() => scheduler.add(refused)).toThrow(expect.objectContaining({ code }));
    expect(scheduler.stats()).toMatchObject({ running: 0, waiting: 0 });
  });

  test("what just fits does", () => {
    complete(scheduler, scheduler.add(options(15, { maxTokens: 1 })));
    scheduler.finish(scheduler.add(options(16, { output: "score", maxTokens: 0 })));
  });

  test("pools that one sequence of the context would outgrow, and sizes that are none", () => {
    const small: Partial<SchedulerConfig>[] = [
      { groups: [{ window: 0, pages: 15 }] },
      { groups: [{ window: 0, pages: 16 }, { window: 20, pages: 9 }] }, // biome-ignore format: a line
      { groups: [] },
      { maxSlots: 0 },
      { pageSize: 1.5 },
    ];
    for (const config of small) expect(() => schedulerOf(config)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    const window = { window: 20, pages: 10 };
    expect(maxContextOf([{ window: 0, pages: 15 }, window], 4, 16)).toBe(60);
    expect(maxContextOf([{ ...window, pages: 9 }], 4, 16)).toBe(36);
    expect(maxContextOf([window], 4, 16)).toBe(Number.POSITIVE_INFINITY);
  });
});

test("finish in every state, and again", () => {
  const scheduler = schedulerOf({ maxSlots: 2 });
  const [prefill, decode, waiting] = [scheduler.add(options(30)), scheduler.add(options(2, { priority: 1 })), scheduler.add(options(2))];
  step(scheduler, false);
  for (const sequence of [waiting, prefill, decode, decode]) {
    scheduler.finish(sequence);
    scheduler.settle(sequence, 1); // came too late
    scheduler.checkIntegrity();
    expect([sequence.state, sequence.length]).toEqual(["finished", sequence.promptLength]);
  }
  expect([scheduler.stats().running, scheduler.stats().waiting, ...used(scheduler)]).toEqual([0, 0, 0]);
  expect(() => scheduler.settle(scheduler.add(options(3)), 1)).toThrow("no row sampled");
});
