import { describe, expect, test } from "vitest";
import { createGroup } from "../../../lib/schedule/groups/index.ts";
import { createPlan } from "../../../lib/schedule/plan.ts";
import type { SchedulerConfig } from "../../../lib/schedule/scheduler.ts";
import { allOf, complete, give, hashesOf, options, rowsOf, schedulerOf, step, used, windowOf } from "./support.ts";

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
      if (plan.rows[0]!.output === "sample") give(scheduler, sequence, 7);
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
    give(scheduler, sequence, 5);
    expect(step(scheduler, false)).toEqual(["0:4+1 sample"]);
    expect(step(scheduler, false)).toEqual([]); // the third token is the last
  });

  test("a sequence with a processor waits until the choice is submitted, or its token is known; others go on", () => {
    const scheduler = schedulerOf();
    const processed = scheduler.add(options(3, { output: "logits" }));
    scheduler.add(options(2));
    expect(step(scheduler, false)).toEqual(["0:0+3 logits", "1:0+2 sample"]);
    expect(step(scheduler, false)).toEqual(["1:2+1 sample"]);
    scheduler.resume(processed);
    expect([processed.length, processed.sampling]).toEqual([3, 1]);
    expect(step(scheduler, false)[0]).toBe("0:3+1 logits");
    expect([processed.sampling, processed.held]).toEqual([2, true]);
    give(scheduler, processed, 5); // the first: the second is with the processor still
    expect(step(scheduler, false)).toEqual(["1:4+1 sample"]);
    give(scheduler, processed, 6);
    expect(step(scheduler, false)[0]).toBe("0:4+1 logits");
    scheduler.resume(processed);
    expect(() => scheduler.resume(processed)).toThrow("does not wait for a choice");
  });

  test("a score's rows all give back something, nothing is sampled, and no token is skipped", () => {
    const scheduler = schedulerOf();
    complete(scheduler, scheduler.add(options(20)));
    const score = scheduler.add(options(20, { output: "score", maxTokens: 0 }));
    expect([step(scheduler), step(scheduler), step(scheduler)]).toEqual([["1:0+16 score"], ["1:16+4 score"], []]);
    expect(score.cachedTokens).toBe(0);
  });

  test("fairness: while a long prompt comes in, each running stream gets its token in every step", () => {
    const scheduler = schedulerOf({ maxBatchTokens: 12, maxContext: 400, groups: [allOf(200)] });
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
    const scheduler = schedulerOf({ maxContext: 32, groups: [allOf(8)] });
    const first = scheduler.add(options(16));
    scheduler.add(options(24, { first: 100 }));
    scheduler.add(options(1, { first: 200 }));
    expect([step(scheduler), step(scheduler)]).toEqual([["0:0+16 sample"], ["0:16+1 sample"]]);
    scheduler.finish(first);
    expect(step(scheduler)).toEqual(["1:0+15 none", "2:0+1 sample"]);
  });

  test("the last by rank gives its pages back, keeps its place and its tokens, and continues from the cache", () => {
    const scheduler = schedulerOf({ maxContext: 24, groups: [allOf(6)], prefixCache: true });
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
    const scheduler = schedulerOf({ maxContext: 8, groups: [allOf(3)], prefixCache: false });
    const first = scheduler.add(options(3, { maxTokens: 5 }));
    const second = scheduler.add(options(4, { maxTokens: 4 }));
    expect(step(scheduler)).toEqual(["0:0+3 sample", "1:0+4 sample"]);
    expect(step(scheduler, false)).toEqual(["0:3+1 sample", "1:4+1 sample"]);
    expect(second.sampling).toBe(1);
    expect(step(scheduler, false)).toEqual(["0:4+1 sample"]);
    expect([second.state, second.sampling]).toEqual(["waiting", 1]);
    scheduler.finish(first);
    expect(step(scheduler)).toEqual([]);
    give(scheduler, second, 77);
    expect(step(scheduler)).toEqual(["1:0+6 sample"]);
    expect(second.tokens[5]).toBe(77);
  });

  test("nobody comes in during a step that preempts, nor into the pages that those who run need next", () => {
    const scheduler = schedulerOf({ maxContext: 16, groups: [allOf(5)], prefixCache: false, maxBatchTokens: 20 });
    const first = scheduler.add(options(4, { maxTokens: 12 }));
    const second = scheduler.add(options(12, { maxTokens: 4 }));
    scheduler.add(options(1));
    expect(step(scheduler, false)).toEqual(["0:0+4 sample", "1:0+12 sample"]); // the last page is for one of the two
    give(scheduler, first, 5);
    for (const start of [4, 5, 6, 7]) expect(step(scheduler)).toEqual([`0:${start}+1 sample`]);
    expect(step(scheduler)).toEqual(["0:8+1 sample"]);
    expect([second.state, second.sampling]).toEqual(["waiting", 1]);
    expect(step(scheduler)).toEqual(["0:9+1 sample", "2:0+1 sample"]);
  });

  test("a preempted sequence keeps its slot until its processor's choice settles there; nobody else gets it", () => {
    for (const end of ["settle", "finish"] as const) {
      const scheduler = schedulerOf({ maxContext: 12, maxSlots: 2, groups: [allOf(3)], prefixCache: false });
      const first = scheduler.add(options(4));
      const second = scheduler.add(options(3, { output: "logits" }));
      expect(step(scheduler, false)).toEqual(["0:0+4 sample", "1:0+3 logits"]);
      give(scheduler, first, 5);
      while (first.computed < 9) step(scheduler); // its third page is the second's first
      const { slot } = second;
      expect([second.state, slot, second.computed, second.held, second.sampling]).toEqual(["waiting", 1, 0, true, 1]);
      scheduler.finish(first);
      scheduler.add(options(1, { maxTokens: 1 }));
      scheduler.add(options(1, { maxTokens: 1 }));
      expect(step(scheduler)).toEqual(["2:0+1 sample"]); // the one slot that is free
      scheduler.resume(second);
      expect([second.slot, step(scheduler)]).toEqual([slot, []]);
      if (end === "settle") give(scheduler, second, 7);
      else scheduler.finish(second);
      expect([second.slot, second.sampling]).toEqual([-1, end === "settle" ? 0 : 1]);
      expect(step(scheduler)).toEqual(end === "settle" ? ["1:0+4 logits"] : ["3:0+1 sample"]);
    }
  });

  test("1.5 sequences fit: 64 requests end, the first by rank never waits", () => {
    const scheduler = schedulerOf({ maxContext: 40, groups: [allOf(15)], maxSlots: 64 });
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

  test("an adapter's pages are its own", () => {
    const scheduler = schedulerOf();
    complete(scheduler, scheduler.add(options(16, { adapter: "a" })));
    for (const [adapter, cached] of [
      ["a", 12],
      ["", 0],
      ["b", 0],
    ] as const) {
      // biome-ignore format: a line
      const again = scheduler.add(options(16, { adapter }));
      step(scheduler);
      expect(again.cachedTokens).toBe(cached);
    }
  });

  test("media name the pages that they overlap, and those after them", () => {
    const picture = { start: 6, end: 10, hash: "one" };
    const plain = hashesOf(options(20));
    const named = hashesOf(options(20, { media: [picture] }));
    expect(named.map((hash, p) => hash === plain[p])).toEqual([true, true, false, false, false, false]);
    expect(hashesOf(options(20, { media: [{ ...picture }] }))).toEqual(named);
    for (const other of [{ hash: "two" }, { start: 7 }, { end: 11 }]) {
      const hashes = hashesOf(options(20, { media: [{ ...picture, ...other }] }));
      expect(hashes.slice(2).filter((hash) => named.includes(hash))).toEqual([]);
    }
    const borders = hashesOf(options(20, { media: [{ start: 4, end: 8, hash: "one" }] }));
    expect(borders.map((hash, p) => hash === plain[p])).toEqual([true, true, false, false, false, false]);
    const scheduler = schedulerOf();
    complete(scheduler, scheduler.add(options(20, { media: [picture] })));
    const again = scheduler.add(options(20, { media: [{ ...picture, hash: "two" }] }));
    step(scheduler);
    expect(again.cachedTokens).toBe(4);
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
    const names: [string, string, string][] = [["m", "", "s"], ["ms", "", ""], ["", "", "ms"], ["m", "", ""], ["m\0", "", "s"], ["m", "s", ""], ["", "m", "s"]]; // biome-ignore format: a line
    const hashes = names.map(([modelId, adapter, cacheSalt]) => hashesOf(options(5, { cacheSalt, adapter }), modelId)[1]);
    expect(new Set(hashes).size).toBe(names.length);
  });

  test("pages that a submitted step fills serve the next one: the same prompt waits for them, as choices do, whatever their priority", () => {
    const scheduler = schedulerOf({ maxBatchTokens: 40 });
    const first = scheduler.add(options(17));
    scheduler.add(options(17));
    scheduler.add(options(17, { after: first }));
    scheduler.add(options(17, { after: first, priority: 1 }));
    expect(step(scheduler, false)).toEqual(["0:0+17 sample"]);
    expect(step(scheduler, false)).toEqual(["3:16+1 sample", "0:17+1 sample", "1:16+1 sample", "2:16+1 sample"]);
    expect(used(scheduler)).toEqual([5 + 1 + 1 + 1]);
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
    const scheduler = schedulerOf({ maxContext: 32, groups: [allOf(8)] });
    complete(scheduler, scheduler.add(options(24, { maxTokens: 1 })));
    complete(scheduler, scheduler.add(options(16, { maxTokens: 1, first: 100 }))); // takes two free pages and two of the six cached
    const again = scheduler.add(options(24));
    step(scheduler);
    expect(again.cachedTokens).toBe(16);
  });
});

describe("windows", () => {
  test("gemma3's shape, 5 of 6 layers with a window of 512, at 8k: 0.3 of a full cache at most, at every step", () => {
    const groups = [allOf(512), windowOf(512, 66)];
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
      { groups: [allOf(15)] },
      { groups: [allOf(16), windowOf(20, 9)] }, // biome-ignore format: a line
      { groups: [] },
      { maxSlots: 0 },
      { pageSize: 1.5 },
    ];
    for (const config of small) expect(() => schedulerOf(config)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    const contexts = [allOf(15), windowOf(20, 9), windowOf(20, 10)].map((group) => {
      return createGroup(group, 0, { pageSize: 4, maxBatchTokens: 16 }).maxContext;
    });
    expect(contexts).toEqual([60, 36, Number.POSITIVE_INFINITY]);
  });
});

test("finish in every state, and again", () => {
  const scheduler = schedulerOf({ maxSlots: 2 });
  const [prefill, decode, waiting] = [scheduler.add(options(30)), scheduler.add(options(2, { priority: 1 })), scheduler.add(options(2))];
  step(scheduler, false);
  for (const sequence of [waiting, prefill, decode, decode]) {
    scheduler.finish(sequence);
    give(scheduler, sequence, 1); // came too late
    scheduler.checkIntegrity();
    expect([sequence.state, sequence.length]).toEqual(["finished", sequence.promptLength]);
  }
  expect([scheduler.stats().running, scheduler.stats().waiting, ...used(scheduler)]).toEqual([0, 0, 0]);
  expect(() => give(scheduler, scheduler.add(options(3)), 1)).toThrow("got 1 token from a row that asked for 0");
});
