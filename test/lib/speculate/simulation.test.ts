import { expect, test } from "vitest";
import { type Load, type Machine, simulate } from "./simulation.ts";

/** The policy on made-up machines, where nothing disturbs the clock. */

/** As a CPU with two threads and a model of 1 B: a step reads the weights, then each token costs; a draft model of 135 M. */
const cpu: Machine = {
  stepMs: (tokens) => 36 + 2.7 * Math.max(0, tokens - 2),
  passMs: (rows) => 6 + 0.4 * rows,
  lackMs: 0.4,
  gapMs: 0.2,
  draftShare: 0.13,
};
/** As tales and its draft: steps of a third of a millisecond, so that what JavaScript takes between two counts. */
const tiny: Machine = {
  stepMs: (tokens) => 0.3 + 0.08 * tokens,
  passMs: (rows) => 0.1 + 0.02 * rows,
  lackMs: 0.02,
  gapMs: 0.06,
  draftShare: 0.27,
};
/** As tales and its draft in truth: passes take twice what the draft's bytes tell, steps longer the more is in the cache, the first ones longest. */
const tales: Machine = {
  stepMs: (tokens) => 0.42 + 0.15 * Math.min(tokens, 8) + 0.09 * Math.max(0, tokens - 8),
  passMs: (rows) => 0.3 + 0.02 * rows,
  lackMs: 0.02,
  gapMs: 0.1,
  draftShare: 0.14,
  growth: 0.0028,
  cold: 3,
};
/** As a GPU: a hundred tokens cost no more than one. */
const gpu: Machine = {
  stepMs: (tokens) => 5 + Math.max(0, tokens - 128) * 0.04,
  passMs: () => 1,
  lackMs: 0.02,
  gapMs: 0.1,
  draftShare: 0.13,
};

/** Speed with guesses by that without. */
function gain(machine: Machine, load: Partial<Load> & { rate: Load["rate"] }): number {
  const whole = { guessing: 1, plain: 0, prompt: 4, tokens: [150, 250] as const, requests: 20, drafts: true, ...load };
  return simulate(machine, whole, "governed").speed / simulate(machine, whole, 0).speed;
}

const MACHINES = Object.entries({ cpu, tiny, tales, gpu });

/** Requests of 64 to 256 tokens that come in rounds: at once, acceptance, whether a draft model guesses. */
const IN_ROUNDS: Load[] = [1, 8, 32].flatMap((guessing) =>
  [0, 0.3, 0.55, 0.75, 0.9].flatMap((rate) =>
    [true, false].map((drafts) => {
      return { guessing, plain: 0, prompt: 17, tokens: [64, 256], requests: 9 * guessing, rounds: true, drafts, rate: () => rate };
    }),
  ),
);
const nameOf = ({ guessing, rate, drafts }: Load): string =>
  `${guessing} at once, acceptance ${rate(0, undefined!)}, draft model ${drafts}`;

test.each(MACHINES)("%s: over 2,000 steps never below 0.97 ×, nor where something else slows steps now and then", (_, machine) => {
  for (const load of IN_ROUNDS) {
    expect(gain(machine, load), nameOf(load)).toBeGreaterThan(0.97);
    const period = 1000 * machine.stepMs(1);
    const slowness = (ms: number): number => (ms % period < period / 4 ? 2 : 1);
    expect(gain(machine, { ...load, slowness }), `${nameOf(load)}, slowed`).toBeGreaterThan(0.95); // what is slowed differs by a step or two
  }
});

test.each(MACHINES)("%s: after 300 steps nearly as fast as with the best fixed number of guesses", (_, machine) => {
  for (const load of IN_ROUNDS.filter(({ guessing, rate }) => guessing <= 8 && rate(0, undefined!) > 0.5)) {
    const late = { ...load, requests: 24 * load.guessing, warmUp: 300 };
    const plain = simulate(machine, late, 0).speed;
    const best = Math.max(...[1, 2, 4, ...(load.drafts ? [] : [8])].map((count) => simulate(machine, late, count).speed)) / plain;
    if (best > 1.15) expect(gain(machine, late) / best, nameOf(load)).toBeGreaterThan(0.93);
  }
});

test.each([
  ["cpu", cpu],
  ["tiny", tiny],
  ["gpu", gpu],
])("%s: guesses that are never right cost at most 3 %%", (_, machine) => {
  for (const drafts of [true, false]) {
    for (const guessing of [1, 8, 32, 128]) {
      const found = gain(machine, { guessing, requests: 10 * guessing, drafts, rate: () => 0 });
      expect(found, `${guessing} ${drafts}`).toBeGreaterThan(0.97);
    }
  }
});

test("nor where the draft model has to compute the prompt before it guesses", () => {
  for (const machine of [cpu, tiny, gpu]) {
    for (const guessing of [1, 8, 32]) {
      for (const rate of [0, 0.3, 0.55]) {
        const found = gain(machine, { guessing, prompt: 64, tokens: [64, 136], requests: 20 * guessing, rate: () => rate });
        expect(found, `${machine.gapMs} ${guessing} ${rate}`).toBeGreaterThan(0.97);
      }
    }
  }
});

test("whatever the rate, it is never below 0.97 ×", () => {
  for (const machine of [cpu, tiny, gpu]) {
    for (const rate of [0.1, 0.3, 0.5, 0.7, 0.9]) {
      for (const guessing of [1, 8, 32]) {
        const found = gain(machine, { guessing, requests: 10 * guessing, rate: () => rate });
        expect(found, `${machine.gapMs} ${rate} ${guessing}`).toBeGreaterThan(0.97);
      }
    }
  }
});

test("nor where one step in ten is disturbed, nor where a step has no room for more", () => {
  for (const machine of [cpu, tiny, gpu]) {
    for (const rate of [0, 0.5, 0.8]) {
      expect(gain(machine, { guessing: 8, requests: 24, rate: () => rate, disturbed: 0.1 }), `${rate}`).toBeGreaterThan(0.92);
    }
    expect(gain(machine, { guessing: 128, requests: 264, drafts: false, rate: () => 0.9 })).toBeGreaterThan(0.97);
  }
});

test("what pays is used", () => {
  expect(gain(cpu, { rate: () => 0.75 })).toBeGreaterThan(1.5);
  expect(gain(cpu, { rate: () => 0.9, drafts: false })).toBeGreaterThan(2.5);
  expect(gain(gpu, { rate: () => 0.75 })).toBeGreaterThan(1.6);
  expect(gain(gpu, { rate: () => 0.75, guessing: 16, requests: 48 })).toBeGreaterThan(1.2);
  expect(gain(gpu, { rate: () => 0.9, drafts: false })).toBeGreaterThan(4);
  expect(gain(cpu, { prompt: 1500, rate: () => 0.75 })).toBeGreaterThan(1.1); // half of the time goes to prompts
});

test("what a device records once is not what guesses cost", () => {
  const recording = { ...gpu, stepMs: () => 2.3, passMs: () => 0.7, recordMs: 25 };
  for (const [guessing, least] of [[1, 1.3] as const, [16, 1.15] as const]) {
    const load = { guessing, requests: 24 * guessing, rounds: true, warmUp: 300, rate: () => 0.75 };
    expect(gain(recording, load), `${guessing}`).toBeGreaterThan(least);
  }
});

test("it comes back when a text becomes predictable, and ends when it no longer is", () => {
  const always = gain(cpu, { tokens: [2000, 2000], requests: 4, drafts: false, rate: () => 0.8 });
  const half = gain(cpu, { tokens: [2000, 2000], requests: 4, drafts: false, rate: (ms) => (Math.floor(ms / 20_000) % 2 === 0 ? 0 : 0.8) });
  expect(half).toBeGreaterThan(1 + (always - 1) * 0.3);
});

test("rows that don't guess lose nothing by those that do", () => {
  expect(gain(cpu, { guessing: 4, plain: 12, requests: 160, rate: () => 0.3 })).toBeGreaterThan(0.97);
  expect(gain(tiny, { guessing: 4, plain: 12, requests: 160, rate: () => 0.6 })).toBeGreaterThan(0.97);
});
