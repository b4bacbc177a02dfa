import { describe, expect, it } from "vitest";
import { NOT_NUMBERS, type SlotConfig, type StepResults } from "../../lib/native/addon.ts";
import { expectSameBits } from "../support/ops.ts";
import { Random } from "../support/reference.ts";
import { choiceOf, plainSlot, runSample, type SampleRow, type SampleStep, stepOf, type TeamSize } from "../support/sample.ts";
import { type ChooseParams, keepTokens } from "../support/sampling-reference.ts";

/** The stages of a GPU, on threads of the host, against the CPU's sampler and the float64 reference. */
const TEAMS: TeamSize[] = [
  { blocks: 1, threads: 1 },
  { blocks: 3, threads: 2 },
];

/** How many of the cases a team runs: its threads wait for each other many times a row. */
const share = ({ blocks }: TeamSize) => (blocks === 1 ? 1 : 0.1);

const SIZES = [1, 2, 17, 100, 1000, 6000];

/** Logits of one of several kinds: spread, flat, with few values, far apart, with NaN and infinities, all alike. */
function randomLogits(random: Random, vocab: number): Float32Array {
  const spread = [1e-6, 0.1, 1, 5, 30, 1e30][random.int(6)]!;
  const step = random.int(3) === 0 ? spread / 2 : 0;
  const logits = random.floats(vocab, spread).map((l) => (step > 0 ? Math.round(l / step) * step : l));
  const put = (value: number, one: number) => {
    for (let i = 0; i < vocab; i++) if (random.int(one) === 0) logits[i] = value;
  };
  if (random.int(4) === 0) put(Number.NEGATIVE_INFINITY, 3);
  if (random.int(8) === 0) put(Number.NaN, 1 + vocab / 2);
  if (random.int(12) === 0) put(Number.POSITIVE_INFINITY, 1 + vocab / 2);
  if (random.int(12) === 0) put(-3.4e38, 2);
  if (random.int(16) === 0) logits.fill(random.normal());
  return logits;
}

function randomStages(random: Random, vocab: number): ChooseParams {
  const pick = (values: number[]) => values[random.int(values.length)]!;
  return {
    temperature: pick([0.01, 0.7, 1, 1, 2, 1e30]),
    topK: pick([0, 0, 1, 2, 40, vocab - 1, vocab, vocab + 1]),
    typicalP: pick([1, 1, 0, 0.2, 0.95]),
    topP: pick([1, 0, 0.1, 0.9, 0.999]),
    minP: pick([0, 0, 0.001, 0.1, 1]),
  };
}

/** A slot with penalties, biases (some twice for a token) and bans. */
function randomSlot(random: Random, vocab: number): SlotConfig {
  const tokens = (count: number) => Int32Array.from({ length: count }, () => random.int(vocab));
  const seen = tokens(random.int(60));
  const biasTokens = tokens(random.int(20));
  const penalty = () => (random.int(2) === 0 ? 0 : random.normal());
  return plainSlot({
    ...randomStages(random, vocab),
    ...(random.int(3) === 0 ? { temperature: 0 } : {}),
    repetitionPenalty: random.int(2) === 0 ? 1 : 1 + random.uniform(),
    presencePenalty: penalty(),
    frequencyPenalty: penalty(),
    biasTokens,
    biasValues: Float64Array.from(biasTokens, () => Math.fround(random.normal() * 5)),
    minTokens: random.int(40),
    endTokens: tokens(random.int(3)),
    logprobs: random.int(22) - 1,
    seed: BigInt(random.int(1 << 30)),
    tokens: seen,
    promptLength: random.int(seen.length + 1),
  });
}

/** Log-probabilities are those of sums in another order. */
function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>): void {
  for (let i = 0; i < expected.length; i++) {
    const [a, b] = [actual[i]!, expected[i]!];
    if (!Object.is(a, b)) expect(Math.abs(a - b), `${a}, ${b}`).toBeLessThanOrEqual(2 ** -23 * Math.abs(b) + 1e-12);
  }
}

function expectSameResults(actual: StepResults, expected: StepResults): void {
  expect(actual.sampled).toEqual(expected.sampled);
  expectClose(actual.logprobs, expected.logprobs);
  expect(actual.topTokens).toEqual(expected.topTokens);
  expectClose(actual.topLogprobs, expected.topLogprobs);
}

/** With one kind of NaN: what arithmetic makes of one differs between processors. */
const plainNaN = (values: Float32Array) => Float32Array.from(values, (value) => (Number.isNaN(value) ? Number.NaN : value));

describe.each(TEAMS)("a team of $blocks x $threads", (team) => {
  it("keeps what the reference keeps, but for weights that are nothing beside the sum", () => {
    const random = new Random(31);
    for (let i = 0; i < 1500 * share(team); i++) {
      const vocab = SIZES[random.int(SIZES.length)]!;
      const [logits, params] = [randomLogits(random, vocab), randomStages(random, vocab)];
      const kept = new Uint8Array(vocab);
      runSample(vocab, [plainSlot(params)], [stepOf(vocab, [{}], logits)], { team, kept });
      const numbers = logits.every((l) => l < Number.POSITIVE_INFINITY);
      const expected = numbers && logits.some(Number.isFinite) ? keepTokens(logits, params) : [];
      const total = expected.reduce((sum, { weight }) => sum + weight, 0);
      const needed = expected.filter(({ weight }) => weight > total * 2 ** -60).map(({ token }) => token);
      const allowed = new Set(expected.map(({ token }) => token));
      const context = JSON.stringify({ i, vocab, params });
      expect(
        needed.filter((token) => !kept[token]),
        context,
      ).toEqual([]);
      expect(
        [...kept.keys()].filter((token) => kept[token] && !allowed.has(token)),
        context,
      ).toEqual([]);
    }
  });

  it("samples the CPU's tokens, step after step, alone and beside others, from the same logits", () => {
    const random = new Random(32);
    for (let i = 0; i < 600 * share(team); i++) {
      const vocab = SIZES[random.int(SIZES.length)]!;
      const slots = Array.from({ length: 1 + random.int(4) }, () => randomSlot(random, vocab));
      const rows = slots.map((_, slot): SampleRow => ({ slot })).toReversed();
      const logits = Float32Array.from(rows.flatMap(() => [...randomLogits(random, vocab)]));
      const run = (size?: TeamSize) => {
        const steps = Array.from({ length: 3 }, () => stepOf(vocab, rows, logits));
        runSample(vocab, slots, steps, { team: size });
        return steps;
      };
      const [actual, expected] = [run(team), run()];
      actual.forEach((step, n) => {
        expectSameResults(step, expected[n]!);
      });
    }
  });

  it("gives rows of several outputs, scores, logits and choices as the CPU does, in pieces", () => {
    const random = new Random(33);
    for (let i = 0; i < 200 * share(team); i++) {
      const vocab = SIZES[1 + random.int(4)]!;
      const slots = Array.from({ length: 4 }, () => randomSlot(random, vocab));
      const guesses = Array.from({ length: 4 }, () => random.int(Math.min(vocab, 3)));
      const rows: SampleRow[] = [
        { slot: 2, kind: "score", tokens: [0, 1, 0], outputs: 3, next: 1, logitRow: 1 },
        { slot: 0, tokens: [1, 0, -1, ...guesses], outputs: 5 },
        { slot: 3, kind: "none", tokens: [1, 1], outputs: 0 },
        { slot: 1, kind: "logits" },
      ];
      const logits = Float32Array.from(Array.from({ length: 9 }, () => [...randomLogits(random, vocab)]).flat());
      const changed = randomLogits(random, vocab);
      const run = (size?: TeamSize) => {
        const steps = [
          { ...stepOf(vocab, rows, logits, 3), piece: 2 },
          choiceOf(1, changed),
          stepOf(vocab, [{ slot: 1 }], changed),
        ] as const;
        runSample(vocab, slots, [...steps], { team: size });
        return steps;
      };
      const [actual, expected] = [run(team), run()];
      actual.forEach((step, n) => {
        expectSameResults(step, expected[n]!);
      });
      if (expected[0].sampled[8] === NOT_NUMBERS) continue; // then the logits mean nothing
      expectSameBits(plainNaN((actual[0] as SampleStep).resultLogits), plainNaN((expected[0] as SampleStep).resultLogits));
    }
  });
});
