import { describe, expect, test } from "vitest";
import type { CreateGroup } from "../../../lib/schedule/groups/group.ts";
import { createGroup } from "../../../lib/schedule/groups/index.ts";
import { createPlan, type Plan } from "../../../lib/schedule/plan.ts";
import { Scheduler, type SchedulerConfig } from "../../../lib/schedule/scheduler.ts";
import type { Sequence } from "../../../lib/schedule/sequence.ts";
import { FakeDevice, solo } from "./fake-device.ts";
import { addGuesses, allOf, complete, give, options, rowsOf, schedulerOf, step, used, windowOf } from "./support.ts";

/** What comes back is not always what was planned. */

/** Plans a step of which nothing settles. */
function planOf(scheduler: Scheduler): Plan {
  const plan = createPlan();
  scheduler.schedule(plan);
  scheduler.checkIntegrity();
  return plan;
}

const cached = (scheduler: Scheduler): number[] => scheduler.stats().groups.map(({ cached }) => cached);

test("rows say how many of their tokens give an output; plans are numbered", () => {
  const scheduler = schedulerOf();
  scheduler.add(options(3));
  scheduler.add(options(4, { output: "score", maxTokens: 0 }));
  scheduler.add(options(2, { output: "logits" }));
  scheduler.add(options(20));
  const plan = planOf(scheduler);
  expect(plan.rows.map(({ output, outputs }) => [output, outputs])).toEqual([["sample", 1], ["score", 4], ["logits", 1], ["none", 0]]); // biome-ignore format: a line
  expect([plan.step, planOf(scheduler).step]).toEqual([1, 2]);
});

describe("a row of several tokens", () => {
  const groups = [allOf(32), windowOf(3, 12)];

  /** A sequence of 5 tokens whose second row asks for 4. */
  function guessed(): { scheduler: Scheduler; sequence: Sequence } {
    const scheduler = schedulerOf({ groups, pageSize: 8 });
    const sequence = scheduler.add(options(4, { maxTokens: 6 }));
    step(scheduler);
    const plan = planOf(scheduler);
    addGuesses(plan, plan.rows[0]!, 3);
    scheduler.checkIntegrity();
    expect([sequence.length, sequence.sampling, sequence.computed, step(scheduler)]).toEqual([5, 4, 8, []]); // held: where would the next begin?
    return { scheduler, sequence };
  }

  test.each([1, 2, 3, 4])("of 4 asked for, %i come: the others are no longer on their way, nor computed", (count) => {
    const { scheduler, sequence } = guessed();
    scheduler.settle(sequence, Int32Array.of(-1, 50, 51, 52, 53, -1), 1, 1 + count);
    scheduler.checkIntegrity();
    expect([...sequence.tokens.subarray(5, sequence.length)]).toEqual([50, 51, 52, 53].slice(0, count));
    expect([sequence.sampling, sequence.computed]).toEqual([0, 4 + count]);
    expect(step(scheduler)).toEqual([`0:${4 + count}+1 sample`]);
  });

  test("a guess is no part of a page's name before it is known to be right", () => {
    const { scheduler, sequence } = guessed();
    give(scheduler, sequence, 50);
    scheduler.finish(sequence);
    expect(cached(scheduler)).toEqual([0, 0]);
  });

  test("rows settle in their order, each by what it asked for", () => {
    const scheduler = schedulerOf({ groups, pageSize: 8 });
    const sequence = scheduler.add(options(4));
    step(scheduler, false);
    const plan = planOf(scheduler);
    addGuesses(plan, plan.rows[0]!, 2);
    expect([sequence.sampling, sequence.computed]).toEqual([4, 7]);
    expect(() => give(scheduler, sequence, 1, 2)).toThrow("got 2 tokens from a row that asked for 1");
  });

  test("neither none nor more than asked for", () => {
    for (const tokens of [[], [1, 2, 3, 4, 5]]) {
      const { scheduler, sequence } = guessed();
      expect(() => give(scheduler, sequence, ...tokens)).toThrow(`got ${tokens.length} tokens`);
    }
  });

  test("settles after a preemption: of a sequence without pages nothing is computed", () => {
    const scheduler = schedulerOf({ maxContext: 16, groups: [allOf(4)], prefixCache: false });
    scheduler.add(options(7, { maxTokens: 9 }));
    const second = scheduler.add(options(2, { first: 50 }));
    step(scheduler);
    const plan = planOf(scheduler);
    addGuesses(plan, plan.rows[1]!, 1);
    while (second.state === "running") step(scheduler, false);
    expect([second.computed, second.sampling]).toEqual([0, 2]);
    give(scheduler, second, 9);
    scheduler.checkIntegrity();
    expect([second.computed, second.sampling, second.length]).toEqual([0, 0, 4]);
  });
});

describe("a row that leaves the plan", () => {
  test("computes and samples nothing; the others keep their order; its sequence runs in the next step", () => {
    const scheduler = schedulerOf();
    const sequences = [0, 1, 2].map((i) => scheduler.add(options(2 + i, { output: i === 1 ? "logits" : "sample" })));
    const plan = planOf(scheduler);
    scheduler.drop(plan, 1);
    scheduler.checkIntegrity();
    expect([rowsOf(plan), plan.tokenCount]).toEqual([["0:0+2 sample", "2:0+4 sample"], 6]);
    const { computed, sampling, held, slotIsNew } = sequences[1]!;
    expect([computed, sampling, held, slotIsNew]).toEqual([0, 0, false, true]);
    expect(step(scheduler)).toEqual(["0:2+1 sample", "1:0+3 logits", "2:4+1 sample"]);
    expect(new Set(plan.rows).size).toBe(3); // a spare one was kept
    expect(() => scheduler.drop(plan, 0)).toThrow("step 1 has no row 0 to drop");
  });

  test.each(["before", "after"])("is never named, whether its sequence ends %s it leaves, or not at all", (when) => {
    const scheduler = schedulerOf({ maxBatchTokens: 9 });
    const sequence = scheduler.add(options(17, { maxTokens: 1 }));
    step(scheduler); // two pages and a token
    const plan = planOf(scheduler);
    expect(rowsOf(plan)).toEqual(["0:9+8 sample"]);
    if (when === "before") scheduler.finish(sequence);
    scheduler.drop(plan, 0);
    expect(plan.rowCount).toBe(0);
    scheduler.finish(sequence);
    scheduler.checkIntegrity();
    expect([used(scheduler), cached(scheduler)]).toEqual([[0], [2]]);
  });
});

describe("a lost step", () => {
  test("ends its rows' sequences and those that found its pages since; the others go on", () => {
    const scheduler = schedulerOf({ maxBatchTokens: 12 });
    const bystander = scheduler.add(options(3, { first: 100, priority: 1 }));
    step(scheduler);
    const first = scheduler.add(options(9));
    const choice = scheduler.add(options(9, { after: first }));
    scheduler.add(options(9, { after: first, cacheSalt: "another" }));
    const lost = planOf(scheduler);
    expect(rowsOf(lost)).toEqual(["0:3+1 sample", "1:0+9 sample"]);
    scheduler.drop(lost, 0);
    const next = planOf(scheduler);
    expect(rowsOf(next)).toEqual(["0:3+1 sample", "1:9+1 sample", "2:8+1 sample", "3:0+9 sample"]);
    expect(choice.cachedTokens).toBe(8);
    expect(scheduler.lose(lost)).toEqual([first, choice]);
    scheduler.checkIntegrity();
    expect([first.state, choice.state, bystander.state]).toEqual(["finished", "finished", "running"]);
    expect(cached(scheduler)).toEqual([0]);
    for (const sequence of [first, choice]) {
      scheduler.finish(sequence);
      give(scheduler, sequence, 7); // of the step after, came too late
    }
    give(scheduler, bystander, 7);
    expect(step(scheduler)[0]).toBe("0:4+1 sample");
    const again = scheduler.add(options(9));
    step(scheduler);
    expect(again.cachedTokens).toBe(0);
  });

  test("ends those that found its pages by way of one that has ended", () => {
    const scheduler = schedulerOf();
    const first = scheduler.add(options(9));
    const lost = planOf(scheduler);
    const second = scheduler.add(options(13));
    expect(rowsOf(planOf(scheduler))).toEqual(["0:9+1 sample", "1:8+5 sample"]);
    scheduler.finish(first);
    scheduler.finish(second); // names a third page, which was computed from the two
    const third = scheduler.add(options(14));
    const fourth = scheduler.add(options(14, { first: 200 }));
    expect(rowsOf(planOf(scheduler))).toEqual(["2:12+2 sample", "3:0+14 sample"]);
    expect(scheduler.lose(lost)).toEqual([third]);
    scheduler.checkIntegrity();
    expect([fourth.state, cached(scheduler)]).toEqual(["running", [0]]);
  });

  test("forgets what an ended sequence named, and keeps what earlier steps wrote", () => {
    const scheduler = schedulerOf({ maxBatchTokens: 8 });
    const sequence = scheduler.add(options(16, { maxTokens: 1 }));
    step(scheduler);
    const lost = planOf(scheduler);
    expect(rowsOf(lost)).toEqual(["0:8+8 sample"]);
    scheduler.finish(sequence);
    expect(cached(scheduler)).toEqual([4]);
    expect(scheduler.lose(lost)).toEqual([]);
    scheduler.checkIntegrity();
    expect(cached(scheduler)).toEqual([2]);
    const again = scheduler.add(options(16));
    step(scheduler);
    expect(again.cachedTokens).toBe(8);
  });

  test("ends sequences that were preempted since, with the slots that they kept", () => {
    const scheduler = schedulerOf({ maxContext: 16, maxBatchTokens: 20, groups: [allOf(4)] });
    const first = scheduler.add(options(7, { maxTokens: 9 }));
    const second = scheduler.add(options(3, { first: 50, output: "logits" }));
    const lost = planOf(scheduler);
    while (second.state === "running") step(scheduler, false);
    expect([second.state, second.slot, second.sampling]).toEqual(["waiting", 1, 1]);
    expect(scheduler.lose(lost)).toEqual([first, second]);
    scheduler.checkIntegrity();
    expect([second.slot, used(scheduler), cached(scheduler)]).toEqual([-1, [0], [0]]);
  });

  test("what came in without room, and has found nothing yet, goes on", () => {
    const scheduler = schedulerOf({ maxContext: 16, maxBatchTokens: 20, groups: [allOf(4)] });
    const first = scheduler.add(options(9, { maxTokens: 7 }));
    const lost = planOf(scheduler);
    const second = scheduler.add(options(15, { maxTokens: 1 }));
    planOf(scheduler); // finds two pages, but not the two that it needs and a spare one
    expect([second.state, second.foundStep]).toEqual(["waiting", 0]);
    expect(scheduler.lose(lost)).toEqual([first]);
    expect(step(scheduler)).toEqual(["1:0+15 sample"]);
  });
});

test("a processor's row runs in every second step, beside rows that run in every step, and no tokens change", () => {
  const config: SchedulerConfig = {
    pageSize: 4,
    maxBatchTokens: 16,
    maxSlots: 4,
    maxContext: 64,
    prefixCache: true,
    modelId: "fake",
    groups: [allOf(64), windowOf(6, 32)],
  };
  const scheduler = new Scheduler(config);
  const device = new FakeDevice(config, 50);
  const plans = [createPlan(), createPlan()];
  const processed = scheduler.add(options(3, { output: "logits", maxTokens: 12 }));
  const plain = scheduler.add(options(4, { maxTokens: 40 }));
  const steps: number[] = [];
  for (let turn = 0; turn < 24; turn++) {
    const plan = plans[turn % 2]!; // as the loop does: the step before is settled while this one runs
    expect(scheduler.schedule(plan)).toBe(true);
    scheduler.checkIntegrity();
    device.submit(plan);
    const rows = plan.rows.slice(0, plan.rowCount).map(({ sequence }) => sequence);
    expect(rows).toContain(plain);
    if (rows.includes(processed)) steps.push(turn);
    while (device.stepsUnderWay > 1 || device.next === "choice") {
      for (const { sequence, output, tokens } of device.run()) {
        if (output === "logits") {
          device.choose(sequence, tokens[0]!);
          scheduler.resume(sequence);
        } else scheduler.settle(sequence, tokens, 0, tokens.length);
      }
    }
  }
  expect(steps).toEqual([0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22]);
  for (const sequence of [processed, plain]) {
    const tokens = [...sequence.tokens.subarray(0, sequence.length)];
    expect(tokens.length).toBeGreaterThan(sequence.promptLength + 10);
    expect(tokens).toEqual(solo(sequence.options, [0, 6], 50).tokens.slice(0, tokens.length));
  }
});

test("rows end where a group cuts them, prompts and prefix hits alike; the least counts", () => {
  const cuts = [(start: number) => (Math.floor(start / 6) + 1) * 6, (start: number) => start + 5];
  const cutting: CreateGroup = (config, index, sizes) => {
    return Object.assign(createGroup(config, index, sizes), { cut: (start: number, end: number) => Math.min(end, cuts[index]!(start)) });
  };
  const scheduler = new Scheduler(
    { pageSize: 4, maxBatchTokens: 16, maxSlots: 8, maxContext: 64, prefixCache: true, modelId: "m", groups: [allOf(32), allOf(32)] },
    undefined,
    cutting,
  );
  const sequence = scheduler.add(options(14, { maxTokens: 2 }));
  expect([step(scheduler), step(scheduler), step(scheduler), step(scheduler)]).toEqual([
    ["0:0+5 none"],
    ["0:5+1 none"],
    ["0:6+5 none"],
    ["0:11+1 none"],
  ]);
  complete(scheduler, sequence);
  scheduler.add(options(20));
  expect([step(scheduler), step(scheduler), step(scheduler)]).toEqual([["1:12+5 none"], ["1:17+1 none"], ["1:18+2 sample"]]);
});
