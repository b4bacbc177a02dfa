import { expect, test } from "vitest";
import { createPlan, type Plan } from "../../../lib/schedule/plan.ts";
import { Scheduler } from "../../../lib/schedule/scheduler.ts";
import { reserveTokens, type Sequence } from "../../../lib/schedule/sequence.ts";
import type { Speculator } from "../../../lib/schedule/speculator.ts";
import { allOf, give, options, used } from "./support.ts";

/** Guesses as many as it may, up to `most`, for those whose id is in `ids`. */
class Eager implements Speculator {
  readonly told: string[] = [];
  ids: number[] = [0];
  most = 3;

  prepare(running: readonly Sequence[]): void {
    this.told.push(`prepare ${running.map(({ id }) => id)}`);
  }

  guesses({ id }: Sequence): boolean {
    return this.ids.includes(id);
  }

  drafts(): boolean {
    return false;
  }

  guess(sequence: Sequence, most: number): number {
    const count = this.guesses(sequence) ? Math.min(most, this.most) : 0;
    reserveTokens(sequence, sequence.sampling + count);
    return count;
  }

  settled({ id }: Sequence, guessed: number, right: number): void {
    this.told.push(`${id}: ${right} of ${guessed}`);
  }

  ended({ id }: Sequence): void {
    this.told.push(`${id} ended`);
  }
}

function create(config: object = {}): { scheduler: Scheduler; eager: Eager } {
  const eager = new Eager();
  const sizes = { pageSize: 4, maxBatchTokens: 16, maxSlots: 8, maxContext: 64, prefixCache: true, modelId: "model", groups: [allOf(32)] };
  return { scheduler: new Scheduler({ ...sizes, ...config }, eager), eager };
}

/** Rows of the next step as `id:start+count, guesses`; their tokens are not known yet. */
function plan(scheduler: Scheduler): string[] {
  const next: Plan = createPlan();
  scheduler.schedule(next);
  scheduler.checkIntegrity();
  return next.rows.slice(0, next.rowCount).map(({ sequence, start, count, guesses }) => `${sequence.id}:${start}+${count}, ${guesses}`);
}

test("a row runs its last token and the guesses; it runs again when they have settled, from the first wrong one on", () => {
  const { scheduler, eager } = create();
  const sequence = scheduler.add(options(5, { maxTokens: 20 }));
  expect(plan(scheduler)).toEqual(["0:0+5, 0"]); // a prompt guesses nothing
  expect(plan(scheduler)).toEqual(["0:5+4, 3"]); // behind the token that is on its way
  expect(plan(scheduler)).toEqual([]);
  give(scheduler, sequence, 50);
  give(scheduler, sequence, 51, 52);
  scheduler.checkIntegrity();
  expect([sequence.length, sequence.computed, used(scheduler)]).toEqual([8, 7, [2]]);
  expect(plan(scheduler)).toEqual(["0:7+4, 3"]);
  give(scheduler, sequence, 53, 54, 55, 56);
  expect(sequence.guesses).toEqual({ rows: 2, guessed: 6, right: 4 });
  scheduler.finish(sequence);
  expect(eager.told.filter((event) => !event.startsWith("prepare"))).toEqual(["0: 1 of 3", "0: 3 of 3", "0 ended"]);
});

test("those who guess run in the same steps; those who don't run in each", () => {
  const { scheduler, eager } = create();
  eager.ids = [0, 2];
  const sequences = [0, 1, 2].map((i) => scheduler.add(options(2, { first: 10 * i, maxTokens: 30 })));
  plan(scheduler);
  expect(plan(scheduler)).toEqual(["0:2+4, 3", "1:2+1, 0", "2:2+4, 3"]);
  for (const sequence of sequences) give(scheduler, sequence, 1);
  expect(plan(scheduler)).toEqual(["1:3+1, 0"]);
  for (const sequence of sequences) give(scheduler, sequence, 1);
  eager.ids = [0, 1, 2];
  expect(plan(scheduler)).toEqual(["0:3+4, 3", "1:4+4, 3", "2:3+4, 3"]);
});

test("who comes to guess while others' guesses are out waits for them", () => {
  const { scheduler, eager } = create();
  const first = scheduler.add(options(2, { maxTokens: 30 }));
  const second = scheduler.add(options(2, { first: 10, maxTokens: 30 }));
  plan(scheduler);
  for (const sequence of [first, second]) give(scheduler, sequence, 1);
  plan(scheduler);
  eager.ids = [0, 1];
  give(scheduler, second, 1);
  expect(plan(scheduler)).toEqual([]);
  give(scheduler, first, 1);
  expect(plan(scheduler)).toEqual(["0:3+4, 3", "1:3+4, 3"]);
});

test.each([
  ["tokens of the budget", { maxBatchTokens: 6 }, 30, ["0:2+4, 3", "1:2+1, 0", "2:2+1, 0"]],
  ["pages, beyond one for each that runs", { groups: [allOf(6)], maxContext: 20 }, 18, ["0:2+2, 1", "1:2+2, 1", "2:2+2, 1"]],
  ["tokens that the sequence may have", {}, 3, ["0:2+2, 1", "1:2+2, 1", "2:2+2, 1"]],
])("guesses take only %s that are left", (_, config, maxTokens, rows) => {
  const { scheduler, eager } = create(config);
  eager.ids = [0, 1, 2];
  const sequences = [0, 1, 2].map((i) => scheduler.add(options(2, { first: 10 * i, maxTokens })));
  for (const sequence of sequences) while (sequence.length + sequence.sampling < 3) plan(scheduler);
  scheduler.checkIntegrity();
  for (const sequence of sequences) while (sequence.sampling > 0) give(scheduler, sequence, 1);
  for (const sequence of sequences) expect([sequence.length, sequence.computed]).toEqual([3, 2]);
  expect(plan(scheduler)).toEqual(rows);
});

test("a sequence that doesn't want to, a score and one with a processor never guess", () => {
  const { scheduler, eager } = create();
  eager.ids = [0, 1, 2];
  const sequences = [options(2, { speculate: false }), options(2, { output: "score", maxTokens: 0 }), options(2, { output: "logits" })];
  const [plain] = sequences.map((each) => scheduler.add(each));
  plan(scheduler);
  expect(plan(scheduler)).toEqual(["0:2+1, 0"]);
  expect(plain!.asked).toEqual([1, 1]);
});
