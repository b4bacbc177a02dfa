import { expect, test } from "vitest";
import { type FaultTally, Mix, type Tally } from "./mix.ts";

function runMixes(first: number, count: number, faulty: boolean): { tally: Tally; faults: FaultTally } {
  const tally: Tally = { done: 0, waiting: 0, prefill: 0, decode: 0, preempted: 0, choosing: 0, preemptions: 0, hits: 0, keptSlots: 0 };
  const faults: FaultTally = { lostSteps: 0, ofItsRows: 0, foundIts: 0, outlived: 0, dropped: 0, refused: 0, guessed: 0, void: 0, cut: 0 };
  for (let seed = first; seed < first + count; seed++) {
    try {
      new Mix(seed, faulty, tally, faults).run();
    } catch (error) {
      throw new Error(`mix ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  return { tally, faults };
}

test("300 random mixes: every sequence gets the tokens that it gets alone, and everything is given back", () => {
  const { tally } = runMixes(1, 300, false);
  // Each way to end, and each thing that could change tokens, really happened.
  for (const [what, count] of Object.entries(tally)) expect(count, what).toBeGreaterThan(5);
  expect(tally.preemptions).toBeGreaterThan(150);
});

test("400 random mixes where steps fail, rows are dropped, cut and guess: so does every sequence that goes on", () => {
  const { tally, faults } = runMixes(1001, 400, true);
  for (const [what, count] of Object.entries({ ...tally, ...faults })) expect(count, what).toBeGreaterThan(5);
});
