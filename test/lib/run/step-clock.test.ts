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
  clock.done(createPlan(), { submitted: 100, now: 110, tokens: 1, recorded: false });
  clock.done(createPlan(), { submitted: 105, now: 125, tokens: 2, recorded: false });
  clock.done(createPlan(), { submitted: 130, now: 140, tokens: 3, recorded: false });
  expect(times).toEqual([
    { ms: 10, gap: 0, tokens: 1 },
    { ms: 15, gap: 0, tokens: 2 },
    { ms: 10, gap: 5, tokens: 3 },
  ]);
});

test("a step that fails tells nothing, and the next begins after it", () => {
  const { clock, times } = started();
  clock.done(createPlan(), { submitted: 100, now: 110, tokens: 1, recorded: false });
  clock.failed(150);
  clock.done(createPlan(), { submitted: 112, now: 160, tokens: 1, recorded: false });
  expect(times.slice(1)).toEqual([{ ms: 10, gap: 0, tokens: 1 }]);
});

test("a step that was recorded tells nothing, and the next begins after it", () => {
  const { clock, times } = started();
  clock.done(createPlan(), { submitted: 100, now: 150, tokens: 1, recorded: true });
  clock.done(createPlan(), { submitted: 112, now: 160, tokens: 1, recorded: false });
  expect(times).toEqual([{ ms: 10, gap: 0, tokens: 1 }]);
});
