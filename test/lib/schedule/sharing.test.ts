import { describe, expect, test } from "vitest";
import type { Scheduler } from "../../../lib/schedule/scheduler.ts";
import type { Sequence } from "../../../lib/schedule/sequence.ts";
import { allOf, give, options, schedulerOf, step, used } from "./support.ts";

/** Steps until the sequence has its first token, that step included; those that reach their last token on the way end. */
function stepsToFirstToken(scheduler: Scheduler, sequence: Sequence): number {
  for (let steps = 1; steps < 10_000; steps++) {
    step(scheduler);
    finishComplete(scheduler);
    if (sequence.length > sequence.promptLength) return steps;
  }
  throw new Error("no token in 10,000 steps");
}

function finishComplete(scheduler: Scheduler): void {
  for (const sequence of [...scheduler.running]) {
    if (sequence.length === sequence.promptLength + sequence.options.maxTokens) scheduler.finish(sequence);
  }
}

describe("priority", () => {
  test("takes a slot from the last by rank, in the next step; that one continues in its place, without a token lost", () => {
    const scheduler = schedulerOf({ maxSlots: 3 });
    const [low, , last] = [0, 0, 0].map((_, i) => scheduler.add(options(4, { first: 10 * i }))) as [Sequence, Sequence, Sequence];
    const later = scheduler.add(options(4, { first: 50 }));
    step(scheduler);
    step(scheduler);
    const length = last.length;
    const high = scheduler.add(options(5, { first: 90, priority: 1, maxTokens: 2 }));
    expect(step(scheduler)).toEqual(["4:0+5 sample", "0:5+1 sample", "1:5+1 sample"]);
    expect([last.state, last.length, scheduler.waiting]).toEqual(["waiting", length, [last, later]]);
    step(scheduler);
    scheduler.finish(high);
    expect(step(scheduler)).toContain(`2:4+${length - 4} sample`); // its full page was cached
    expect([last.length, last.preemptions, low.preemptions]).toEqual([length + 1, 1, 0]);
  });

  test("takes pages from the last by rank, as many as it takes", () => {
    const scheduler = schedulerOf({ groups: [allOf(12)], maxContext: 40 });
    const [first, ...others] = [0, 1, 2].map((i) => scheduler.add(options(12, { first: 20 * i })));
    step(scheduler);
    step(scheduler);
    step(scheduler);
    expect(scheduler.running).toHaveLength(3);
    const high = scheduler.add(options(24, { first: 100, priority: 1 }));
    step(scheduler);
    expect([high.state, first!.state, ...others.map(({ state }) => state)]).toEqual(["running", "running", "waiting", "waiting"]);
  });

  test("takes nothing where that is not enough, nor from its equals", () => {
    const scheduler = schedulerOf({ groups: [allOf(12)], maxContext: 40 });
    const [high, low] = [scheduler.add(options(28, { priority: 1 })), scheduler.add(options(8, { first: 50 }))];
    for (let i = 0; i < 3; i++) step(scheduler);
    expect([high.state, low.state]).toEqual(["running", "running"]);
    scheduler.add(options(30, { first: 100, priority: 1 }));
    for (let i = 0; i < 3; i++) step(scheduler);
    expect(scheduler.stats()).toMatchObject({ running: 2, waiting: 1, preemptions: 0 });
  });

  test("takes nothing where lower ones share pages, which come back once", () => {
    const scheduler = schedulerOf({ groups: [allOf(27)], maxContext: 90, maxBatchTokens: 64 });
    const high = scheduler.add(options(40, { first: 100, priority: 1, maxTokens: 30 }));
    step(scheduler);
    const lower = Array.from({ length: 3 }, () => scheduler.add(options(33, { maxTokens: 20 })));
    for (let i = 0; i < 4; i++) step(scheduler);
    expect([high, ...lower].map(({ state }) => state)).toEqual(["running", "running", "running", "running"]);
    expect(used(scheduler)).toEqual([11 + 8 + 3]);
    scheduler.add(options(64, { first: 200, priority: 1 }));
    step(scheduler);
    expect(scheduler.stats()).toMatchObject({ waiting: 1, preemptions: 0 });
  });

  test("leaves those running whose slots are kept by a processor's choice", () => {
    const scheduler = schedulerOf({ maxSlots: 2 });
    const lower = [0, 1].map((i) => scheduler.add(options(3, { first: 10 * i, output: "logits" }))) as [Sequence, Sequence];
    step(scheduler, false);
    const high = scheduler.add(options(3, { first: 50, priority: 1 }));
    expect(step(scheduler, false)).toEqual([]);
    expect(lower.map(({ state }) => state)).toEqual(["running", "running"]);
    give(scheduler, lower[0], 7);
    expect(step(scheduler, false)).toEqual(["2:0+3 sample"]);
    expect([high.state, ...lower.map(({ state }) => state)]).toEqual(["running", "waiting", "running"]);
  });

  test("comes in where every token of a step is a lower one's next", () => {
    const scheduler = schedulerOf({ maxBatchTokens: 3 });
    for (let i = 0; i < 3; i++) scheduler.add(options(1, { first: i }));
    step(scheduler);
    expect(step(scheduler)).toHaveLength(3);
    scheduler.add(options(2, { first: 50, priority: 1 }));
    expect(step(scheduler)[0]).toMatch(/^3:0\+1 none/);
  });

  test("of 40 that come and go at random none preempts its equal for room; all end", () => {
    const scheduler = schedulerOf({ maxSlots: 4, groups: [allOf(64)] });
    const sequences = Array.from({ length: 40 }, (_, i) => scheduler.add(options(3 + (i % 9), { first: 20 * i, priority: i % 3 })));
    for (let steps = 0; scheduler.running.length + scheduler.waiting.length > 0; steps++) {
      expect(steps).toBeLessThan(500);
      step(scheduler);
      finishComplete(scheduler);
      const lowest = Math.min(...scheduler.running.map(({ options }) => options.priority));
      // Whoever waits with a slot's worth of priority would have taken one.
      expect(scheduler.waiting.filter(({ options }) => options.priority > lowest && scheduler.running.length === 4)).toEqual([]);
    }
    expect(sequences.every(({ length, promptLength }) => length === promptLength + 8)).toBe(true);
    expect(scheduler.stats().preemptions).toBe(0); // the higher ones came in first, and no page was short
  });
});

describe("prompts share a step", () => {
  const LONG = { pageSize: 16, maxBatchTokens: 16, maxContext: 8192, groups: [allOf(8192)] };

  test("8 tokens come in beside 8,000: their first token is there at once, and the long one loses these tokens alone", () => {
    const scheduler = schedulerOf(LONG);
    const long = scheduler.add(options(8000));
    step(scheduler);
    const short = scheduler.add(options(8, { first: 9000, maxTokens: 1 }));
    expect(step(scheduler)).toEqual(["0:16+8 none", "1:0+8 sample"]);
    scheduler.finish(short);
    expect(stepsToFirstToken(scheduler, long)).toBe(Math.ceil((8000 - 24) / 16));
  });

  test("so they do in the turn in which both come, and where other long ones wait before them", () => {
    const scheduler = schedulerOf(LONG);
    for (const first of [0, 10_000, 20_000]) scheduler.add(options(8000, { first }));
    const short = scheduler.add(options(8, { first: 9000 }));
    expect(stepsToFirstToken(scheduler, short)).toBeLessThanOrEqual(3); // some 1,000 pages are named before each
    expect(scheduler.running.map(({ id }) => id)).toEqual([0, 3]); // the others would run nothing yet
  });

  test("what the cache has of a prompt does not make it long", () => {
    const scheduler = schedulerOf({ ...LONG, maxContext: 16_384 });
    const first = scheduler.add(options(4000, { maxTokens: 1 }));
    stepsToFirstToken(scheduler, first);
    const [long, again] = [scheduler.add(options(8000, { first: 9000 })), scheduler.add(options(4004))];
    expect(stepsToFirstToken(scheduler, again)).toBeLessThanOrEqual(3);
    expect([long.computed < 40, again.cachedTokens]).toEqual([true, 4000]);
  });

  test("a stream of short ones does not stop the long one, which has half of what decoding leaves", () => {
    const scheduler = schedulerOf({ ...LONG, maxSlots: 64 });
    const long = scheduler.add(options(4000));
    for (let i = 0; long.length === long.promptLength; i++) {
      for (let k = 0; k < 4; k++) scheduler.add(options(5, { first: 10_000 + 100 * i + 20 * k, maxTokens: 1 }));
      const { computed } = long;
      step(scheduler);
      finishComplete(scheduler);
      expect(long.computed - computed).toBeGreaterThanOrEqual(Math.min(6, 4000 - computed)); // 4 may decode
    }
  });

  test("of the same length they run one after the other", () => {
    const scheduler = schedulerOf(LONG);
    for (const first of [0, 1000, 2000]) scheduler.add(options(64, { first }));
    for (let i = 0; i < 4; i++) expect(step(scheduler)).toHaveLength(1);
    expect(step(scheduler)).toEqual(["0:64+1 sample", "1:0+15 none"]);
  });

  test("a lower priority gets what the higher leaves", () => {
    const scheduler = schedulerOf(LONG);
    scheduler.add(options(40, { first: 100, priority: 1 }));
    scheduler.add(options(4, { first: 200 }));
    expect([step(scheduler), step(scheduler)]).toEqual([["0:0+16 none"], ["0:16+16 none"]]);
    expect(step(scheduler)).toEqual(["0:32+8 sample", "1:0+4 sample"]);
  });

  test("a beginning that many share is computed once, however long they are", () => {
    const scheduler = schedulerOf({ ...LONG, maxSlots: 64, pageSize: 4 });
    const promptOf = (i: number): Int32Array => Int32Array.from({ length: 210 - 9 * i }, (_, p) => (p < 100 ? p : 1000 * i + p));
    const sequences = Array.from({ length: 12 }, (_, i) => scheduler.add({ ...options(0, { maxTokens: 1 }), prompt: promptOf(i) }));
    let computed = 0;
    while (scheduler.running.length + scheduler.waiting.length > 0) {
      computed += step(scheduler).reduce((sum, row) => sum + Number(/\+(\d+)/.exec(row)![1]), 0);
      finishComplete(scheduler);
    }
    expect(computed).toBe(100 + sequences.reduce((sum, { promptLength }) => sum + promptLength - 100, 0));
  });

  test("whom a shorter one overtakes keeps a slot and pages, so that it does not wait longer for room", () => {
    const scheduler = schedulerOf({ ...LONG, pageSize: 4, maxContext: 200, groups: [allOf(90)], maxSlots: 3 });
    const [first, second] = [scheduler.add(options(160)), scheduler.add(options(160, { first: 1000 }))];
    for (let i = 0; i < 20; i++) scheduler.add(options(8, { first: 2000 + 20 * i, maxTokens: 40 }));
    let most = 0;
    while (second.state === "waiting") {
      step(scheduler);
      finishComplete(scheduler);
      most = Math.max(most, scheduler.running.length);
    }
    expect([first.length > first.promptLength, second.preemptions, most]).toEqual([true, 0, 3]);
    expect(used(scheduler)[0]).toBeLessThanOrEqual(90);
  });
});

describe("a limit of prompts' tokens", () => {
  test("leaves room for all that decode, and is shared as the step is", () => {
    const scheduler = schedulerOf({ maxBatchTokens: 64, groups: [allOf(100)], maxContext: 200 });
    for (let i = 0; i < 3; i++) scheduler.add(options(4, { first: 10 * i }));
    step(scheduler);
    scheduler.add(options(100, { first: 50 }));
    scheduler.add(options(6, { first: 200 }));
    expect(step(scheduler, true, 10)).toEqual(["0:4+1 sample", "1:4+1 sample", "2:4+1 sample", "3:0+5 none", "4:0+5 none"]);
    expect(step(scheduler, true, 10)).toEqual(["0:5+1 sample", "1:5+1 sample", "2:5+1 sample", "3:5+10 none", "4:5+1 sample"]);
  });
});

describe("of few tokens that have logits in a step", () => {
  test("one is the first's by rank, the others go to those that have had none for longest; no prompt loses tokens to those that wait", () => {
    const scheduler = schedulerOf({ logitRows: 3, maxContext: 200, groups: [allOf(100)] });
    for (let i = 0; i < 7; i++) scheduler.add(options(1, { first: 10 * i, output: "logits" }));
    const steps = [step(scheduler)];
    scheduler.add(options(100, { first: 100 }));
    for (let i = 0; i < 3; i++) {
      for (const sequence of scheduler.running) if (sequence.held) scheduler.resume(sequence);
      steps.push(step(scheduler));
    }
    expect(steps).toEqual([
      ["0:0+1 logits", "1:0+1 logits", "2:0+1 logits"],
      ["0:1+1 logits", "3:0+1 logits", "4:0+1 logits", "7:0+13 none"],
      ["0:2+1 logits", "5:0+1 logits", "6:0+1 logits", "7:13+13 none"],
      ["0:3+1 logits", "1:1+1 logits", "2:1+1 logits", "7:26+13 none"],
    ]);
  });

  test("a higher priority has them first; a prompt stops before its end to wait for its turn", () => {
    const scheduler = schedulerOf({ logitRows: 1 });
    scheduler.add(options(6, { first: 50, output: "logits" }));
    const score = scheduler.add(options(3, { maxTokens: 0, output: "score", logits: true, priority: 1 }));
    expect([step(scheduler), step(scheduler), step(scheduler)]).toEqual([["1:0+1 score", "0:0+5 none"], ["1:1+1 score"], ["1:2+1 score"]]);
    scheduler.finish(score);
    expect(step(scheduler)).toEqual(["0:5+1 logits"]);
  });
});
