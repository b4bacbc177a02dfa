import { expect, test } from "vitest";
import { StepCost } from "../../../lib/speculate/cost.ts";
import { Governor, type Permission } from "../../../lib/speculate/governor.ts";
import { Window } from "../../../lib/speculate/window.ts";

const ROWS = 4;

/** Steps of 10 ms without guesses; with them each takes `ms` and gives `tokens` tokens. */
class Steps {
  readonly #cost = new StepCost(0.1);
  readonly governor = new Governor(this.#cost);
  ms = 10;
  tokens = ROWS;
  lacking = 0;
  left = 100;

  /** One step after the other, while nobody knows what else to guess than what is allowed. */
  run(count: number, rows = ROWS): Permission[] {
    return Array.from({ length: count }, () => {
      const permission = this.governor.decide(rows, 0);
      const guesses = permission !== "none";
      if (!guesses) this.#cost.add(rows, rows, 0, 0, 10);
      const { ms, tokens, lacking, left } = this;
      this.governor.add(guesses ? { ms, tokens, guesses, lacking, left } : { ms: 10, tokens: rows, guesses, lacking: 0, left: 0 });
      return permission;
    });
  }
}

const withGuesses = (permissions: Permission[]): number => permissions.filter((permission) => permission !== "none").length;

test("a trial after some steps without guesses: first one token each, then as many as are chosen", () => {
  const permissions = new Steps().run(20);
  expect(permissions.indexOf("one")).toBeGreaterThanOrEqual(8);
  expect(permissions.indexOf("chosen") - permissions.indexOf("one")).toBe(4);
});

test("where guesses give more for each millisecond they are on, but for a few steps to compare with", () => {
  const steps = new Steps();
  steps.tokens = 2 * ROWS;
  steps.ms = 15;
  steps.run(40);
  expect(withGuesses(steps.run(1000))).toBeGreaterThan(960);
});

test("where they give as many, or 4 % more, they are off, and pauses double", () => {
  for (const ms of [10, 10 / 1.04]) {
    const steps = new Steps();
    steps.ms = ms;
    expect(withGuesses(steps.run(2000)), `${ms}`).toBeLessThan(80);
    expect(withGuesses(steps.run(10_000)), `${ms}`).toBeLessThan(50);
  }
});

test("what trials lose is bounded, be it at each step or to catch up once", () => {
  for (const lacking of [0, ROWS]) {
    const steps = new Steps();
    Object.assign(steps, { ms: 60, lacking });
    const guessing = withGuesses(steps.run(5000));
    expect(guessing, `${lacking}`).toBeGreaterThan(1);
    expect(5 * guessing, `${lacking}`).toBeLessThan(0.02 * 5000);
  }
});

test("they come back when they pay", () => {
  const steps = new Steps();
  steps.ms = 20;
  steps.run(500);
  steps.ms = 5;
  expect(withGuesses(steps.run(2000))).toBeGreaterThan(1000);
});

test("another number of rows has trials of its own, and begins as the last one stood; one that passes by changes nothing", () => {
  const steps = new Steps();
  steps.ms = 5;
  steps.run(100);
  expect(withGuesses(steps.run(8, 3 * ROWS))).toBe(8);
  const slow = new Steps();
  slow.ms = 30;
  slow.run(60);
  for (let i = 0; i < 5; i++) expect(withGuesses([...slow.run(3, 2 * ROWS), ...slow.run(3)])).toBe(0);
});

test("a window: disturbed steps count twice the median, what was spent once by the share of the tokens", () => {
  const window = new Window(4);
  for (const ms of [1000, 10, 10, 10, 100]) window.add(ms, 10, 1);
  expect(window.pace).toBe((10 + 10 + 10 + 20) / 40);
  expect([window.lost(1), window.lostInAll(1)]).toEqual([90, 10]);
  window.addOnce(100, 1 / 50);
  expect([window.lost(1), window.lostInAll(1)]).toEqual([100, 110]);
  window.clear();
  expect(window.pace).toBeNaN();
});

test("a prompt behind steps that took no time that could be measured gives trials nothing to lose", () => {
  const cost = new StepCost(0.1);
  for (let i = 0; i < 20; i++) cost.add(ROWS, ROWS, 0, 0, 0);
  const governor = new Governor(cost);
  const permissions: Permission[] = [];
  for (let i = 0; i < 2000; i++) {
    const permission = governor.decide(ROWS, 0);
    permissions.push(permission);
    const guesses = permission !== "none";
    if (i > 10 && !guesses) cost.add(ROWS, ROWS, 0, 0, 10);
    governor.add({ ms: guesses ? 200 : 10, tokens: ROWS, guesses, lacking: 0, left: 100 });
    if (i === 5) governor.skip(10);
  }
  expect(withGuesses(permissions)).toBeLessThan(30);
  expect(governor.allowance).toBeLessThan(0);
});
