import { expect, test } from "vitest";
import { Acceptance, expectedTokens, SEQUENCE_PACE } from "../../../lib/speculate/acceptance.ts";
import { StepCost, TimeTable } from "../../../lib/speculate/cost.ts";
import { type Candidate, choose } from "../../../lib/speculate/decide.ts";

test("times between sizes that were measured lie on a line; beyond the largest they are flat", () => {
  const table = new TimeTable();
  expect(table.at(3)).toBeNaN();
  for (const ms of [50, 10]) table.add(2, ms);
  for (const ms of [50, 18]) table.add(10, ms);
  expect([1, 2, 4, 10, 100].map((size) => table.at(size))).toEqual([10, 10, 12, 18, 18]);
  for (const ms of [500, 200]) table.add(1024, ms);
  expect(table.at(1024)).toBe(200);
  expect(table.at(517)).toBeCloseTo(109, 0);
  table.forgetAbove(9);
  expect(table.at(10)).toBe(10);
});

test("the largest size is one that was measured, also when those above it are forgotten", () => {
  const table = new TimeTable();
  for (const size of [1, 1, 4, 4, 6, 6]) table.add(size, 10);
  table.forgetAbove(5);
  expect(table.largest).toBe(4);
  table.forgetAbove(3);
  expect(table.largest).toBe(1);
});

test("what is faster than before counts more than what is slower", () => {
  const table = new TimeTable();
  for (const ms of [50, 10, 20]) table.add(1, ms);
  expect(table.at(1)).toBe(11);
  table.add(1, 5);
  expect(table.at(1)).toBe(8);
});

test("acceptance by the latest rows; a guess behind a wrong one was not tried", () => {
  const acceptance = new Acceptance(SEQUENCE_PACE);
  expect(acceptance.rate(0.8)).toBeCloseTo(0.8);
  for (let row = 0; row < 100; row++) acceptance.add(4, row % 2 === 0 ? 4 : 1);
  expect(acceptance.rate(0.8)).toBeCloseTo(5 / 6, 1);
  for (let row = 0; row < 100; row++) acceptance.add(4, 0);
  expect(acceptance.rate(0.2)).toBeLessThan(0.1);
  expect([expectedTokens(0, 4), expectedTokens(0.5, 2), expectedTokens(1, 4)]).toEqual([1, 1.75, 5]);
});

/** Steps of `first` ms and `more` for each token after the first. */
function costOf(first: number, more: number, gap = 0): StepCost {
  const cost = new StepCost(0.1);
  for (const tokens of [1, 2, 300]) for (let i = 0; i < 4; i++) cost.add(tokens, tokens, 0, 0, first + (tokens - 1) * more);
  for (let i = 0; i < 2; i++) cost.addGap(gap);
  return cost;
}

const candidates = (count: number, rate: number, drafts = false): Candidate[] =>
  Array.from({ length: count }, () => ({ offered: 8, rate, logRate: Math.log(rate), guesses: -1, drafts, lack: 0, left: 100 }));

/** Guesses of each. */
function guessesOf(chosen: Candidate[], cost: StepCost, others = 0): number[] {
  const any = choose(chosen, others, { cost, maxBatchTokens: 512 });
  const guesses = chosen.map((candidate) => candidate.guesses);
  expect(guesses.some((count) => count > 0)).toBe(any);
  return guesses;
}

test("where tokens cost nothing beside the weights all guess as far as it may count; where each costs as much as a row none does", () => {
  expect(guessesOf(candidates(1, 0.9), costOf(20, 0.1))).toEqual([8]);
  expect(guessesOf(candidates(1, 0.5), costOf(20, 0.1))[0]).toBeGreaterThanOrEqual(2);
  expect(guessesOf(candidates(1, 0.9), costOf(20, 20))).toEqual([0]);
  expect(guessesOf(candidates(4, 0.05), costOf(20, 0.5))).toEqual([0, 0, 0, 0]);
});

test("the more run, the less is guessed; a gap between steps and passes of a draft model count", () => {
  const [one] = guessesOf(candidates(1, 0.7), costOf(20, 1));
  const [many] = guessesOf(candidates(32, 0.7), costOf(20, 1));
  expect(one).toBeGreaterThan(many!);
  expect(guessesOf(candidates(1, 0.3), costOf(20, 1, 30))).toEqual([0]);
  const [drafted] = guessesOf(candidates(1, 0.7, true), costOf(20, 1));
  expect(drafted).toBeLessThan(one!);
});

test("who is right more often guesses more; beside many who don't guess it has to pay for running in every second step", () => {
  const [good, bad] = guessesOf([...candidates(1, 0.9), ...candidates(1, 0.2)], costOf(20, 3));
  expect(good).toBeGreaterThan(bad!);
  expect(guessesOf(candidates(1, 0.6), costOf(20, 1))[0]).toBeGreaterThan(0);
  expect(guessesOf(candidates(1, 0.6), costOf(20, 1), 20)).toEqual([0]);
});

test("nothing is guessed before a step was measured", () => {
  expect(guessesOf(candidates(2, 0.9), new StepCost(0))).toEqual([0, 0]);
  const cost = new StepCost(0);
  for (let i = 0; i < 4; i++) cost.add(8, 8, 0, 0, 20);
  expect(guessesOf(candidates(2, 0.9), cost)).toEqual([0, 0]); // two rows cost less than eight
});

test("a draft model's pass follows from its size; what is wrong by that counts for steps of as many tokens", () => {
  const cost = costOf(20, 1);
  expect([cost.draftMs(4, 1), cost.draftMs(0, 0)]).toEqual([8, 0]);
  for (let i = 0; i < 2; i++) cost.add(1, 5, 4, 1, 36);
  expect(cost.draftMs(4, 1) + cost.stepMs(5)).toBe(36);
});
