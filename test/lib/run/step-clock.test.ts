import { expect, test } from "vitest";
import { StepClock, type StepTime } from "../../../lib/run/step-clock.ts";
import { createPlan } from "../../../lib/schedule/plan.ts";

/** A clock that runs, and what it told. */
function started(): { clock: StepClock; times: StepTime[] } {
  const times: StepTime[] = [];
  const clock = new StepClock([{ add: (_, time) => times.push(time) }]);
  clock.start();
  return { clock, times };
}

test("a step begins when it is submitted, or when the one before is done; between both is a gap", () => {
  const { clock, times } = started();
  clock.done(createPlan(), 100, 110, 1);
  clock.done(createPlan(), 105, 125, 2);
  clock.done(createPlan(), 130, 140, 3);
  expect(times).toEqual([
    { ms: 10, gap: 0, tokens: 1 },
    { ms: 15, gap: 0, tokens: 2 },
    { ms: 10, gap: 5, tokens: 3 },
  ]);
});

test("a step that fails tells nothing, and the next begins after it", () => {
  const { clock, times } = started();
  clock.done(createPlan(), 100, 110, 1);
  clock.failed(150);
  clock.done(createPlan(), 112, 160, 1);
  expect(times.slice(1)).toEqual([{ ms: 10, gap: 0, tokens: 1 }]);
});
