import { describe, expect, it } from "vitest";
import { NOT_NUMBERS, type SlotConfig, type StepResults } from "../../lib/native/addon.ts";
import { expectRefused, expectSameBits, VARIANTS } from "../support/ops.ts";
import { Random } from "../support/reference.ts";
import { choiceOf, plainSlot, runSample, type SampleRow, sampleOne, stepOf } from "../support/sample.ts";
import { adjustLogits, type ChooseParams, chooseToken, keepTokens, logProbabilities } from "../support/sampling-reference.ts";

const OFF: ChooseParams = { temperature: 1, topK: 0, typicalP: 1, topP: 1, minP: 0 };

/** Random logits of one of several kinds: spread, peaked, flat, with many ties, all alike, with -Infinity. */
function randomLogits(random: Random, vocab = [1, 2, 17, 31, 100, 1000][random.int(6)]!): Float32Array {
  const spread = [0.1, 1, 5, 30][random.int(4)]!;
  const step = random.int(3) === 0 ? spread / 2 : 0; // ties
  const logits = random.floats(vocab, spread).map((l) => (step > 0 ? Math.round(l / step) * step : l));
  if (random.int(4) === 0) {
    for (let i = 0; i < vocab; i++) if (random.int(3) === 0) logits[i] = Number.NEGATIVE_INFINITY;
  }
  if (random.int(12) === 0) logits.fill(random.normal());
  logits[random.int(vocab)] = random.normal();
  return logits;
}

const share = (random: Random) => [0, 0.1, 0.5, 0.9, 0.999][random.int(5)]!;
const STAGES: Record<string, (random: Random) => Partial<ChooseParams>> = {
  temperature: (random) => ({ temperature: [0.01, 0.7, 1, 2, 1e30][random.int(5)]! }),
  topK: (random) => ({ topK: 1 + random.int(60) }),
  typicalP: (random) => ({ typicalP: share(random) }),
  topP: (random) => ({ topP: share(random) }),
  minP: (random) => ({ minP: share(random) }),
  all: (random) => ({
    temperature: 0.5 + random.uniform(),
    topK: 1 + random.int(200),
    typicalP: 0.95,
    topP: 0.9,
    minP: 0.02 * random.uniform(),
  }),
};

/** Tokens that can be drawn: what weighs less than e^-707 weighs nothing. */
const possible = (kept: ReturnType<typeof keepTokens>) => kept.filter(({ weight }) => weight > 1e-307).map(({ token }) => token);

describe.each(Object.keys(STAGES))("sample: %s", (stage) => {
  it("keeps what the float64 reference keeps, on 1,000 random rows", () => {
    const random = new Random(stage.length);
    for (let i = 0; i < 1000; i++) {
      const logits = randomLogits(random);
      const params = { ...OFF, ...STAGES[stage]!(random) };
      const expected = possible(keepTokens(logits, params));
      const { token, kept } = sampleOne(logits, { ...params, seed: BigInt(i), tokens: new Int32Array(i) });
      expect(kept, JSON.stringify(params)).toEqual(expected);
      expect(token).toBe(chooseToken(logits, params, BigInt(i), i));
    }
  });
});

describe.each([...new Set(VARIANTS.map(({ isa }) => isa))])("sample of large vocabularies, %s", (isa) => {
  const GEMMA = { topK: 64, topP: 0.95 };
  const WIDE = [
    GEMMA,
    { topP: 0.9 },
    { minP: 0.05 },
    { topP: 0.999, temperature: 2 },
    { topK: 9000 },
    { topK: 20_000, topP: 0.5, minP: 0.1 },
    { typicalP: 0.9 },
  ];

  it("keeps and draws what the float64 reference does, whatever the logits are like", () => {
    const random = new Random(41);
    for (const vocab of [8193, 30_011, 262_144]) {
      for (const params of WIDE.slice(0, vocab > 100_000 ? 3 : undefined)) {
        const logits = randomLogits(random, vocab);
        const all = { ...OFF, ...params };
        const { token, kept } = sampleOne(logits, { ...all, seed: BigInt(vocab) }, isa);
        expect(
          Buffer.from(Int32Array.from(kept).buffer).equals(Buffer.from(Int32Array.from(possible(keepTokens(logits, all))).buffer)),
          JSON.stringify({ vocab, params }),
        ).toBe(true);
        expect(token).toBe(chooseToken(logits, all, BigInt(vocab), 0));
      }
    }
  });

  it("keeps the first of many that are alike, and one where the share is nothing", () => {
    const logits = new Float32Array(100_000).fill(-2);
    expect(sampleOne(logits, { topK: 20_000 }, isa).kept).toEqual(Array.from({ length: 20_000 }, (_, i) => i));
    expect(sampleOne(logits, { topP: 0.5 }, isa).kept).toEqual(Array.from({ length: 50_000 }, (_, i) => i));
    logits[70_000] = -1;
    for (const params of [{ topP: 0 }, { topK: 1 }, { minP: 1 }])
      expect(sampleOne(logits, params, isa)).toEqual({ token: 70_000, kept: [70_000] });
    logits.fill(Number.NEGATIVE_INFINITY, 0, 70_000);
    expect(sampleOne(logits, { topK: 50_000 }, isa).kept).toHaveLength(30_000);
  });
});

/** Probability that a chi-square of `degrees` exceeds x, by Wilson and Hilferty's normal approximation. */
function chiSquareTail(x: number, degrees: number): number {
  const z = ((x / degrees) ** (1 / 3) - (1 - 2 / (9 * degrees))) / Math.sqrt(2 / (9 * degrees));
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI);
  const tail = density * t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  return z > 0 ? tail : 1 - tail;
}

/** A slot whose tokens, biases and bans are random, what they make of the logits, and its place in the stream of random numbers. */
function randomAdjustment(logits: Float32Array, random: Random) {
  const penalties = { repetitionPenalty: 1 + random.uniform(), presencePenalty: random.normal(), frequencyPenalty: random.normal() };
  const seen = Array.from({ length: 10 }, (_, j): [number, number] => [j * 4 + random.int(4), random.int(3)]);
  const biases = Array.from({ length: 5 }, (): [number, number] => [random.int(logits.length), Math.fround(random.normal() * 5)]);
  const banned = [random.int(logits.length)];
  const output = seen.flatMap(([token, count]) => new Array<number>(count).fill(token));
  const config = {
    ...penalties,
    biasTokens: Int32Array.from(biases, ([token]) => token),
    biasValues: Float64Array.from(biases, ([, bias]) => bias),
    minTokens: output.length + 1,
    endTokens: Int32Array.from(banned),
    tokens: Int32Array.from([...seen.map(([token]) => token), ...output]),
    promptLength: seen.length,
  };
  return { config, adjusted: adjustLogits(logits, { ...penalties, seen, biases, banned }), place: output.length };
}

/** The result's log-probability of `token` and its `top` best, within float32's rounding of float64 over the raw logits. */
function expectLogprobs(result: StepResults, logits: Float32Array, token: number, top: number): void {
  const expected = logProbabilities(logits);
  const best = [...expected.keys()].sort((a, b) => expected[b]! - expected[a]! || a - b).slice(0, top);
  expect([...result.topTokens.subarray(0, top)]).toEqual(best);
  const close = (a: number, b: number) => expect(Math.abs(a - b)).toBeLessThanOrEqual(2 ** -24 * Math.abs(b) + 1e-12);
  close(result.logprobs[0]!, expected[token]!);
  best.forEach((candidate, j) => {
    close(result.topLogprobs[j]!, expected[candidate]!);
  });
}

describe("sample", () => {
  it.each([OFF, { ...OFF, temperature: 0.8, topK: 20 }, { ...OFF, topP: 0.9 }, { ...OFF, typicalP: 0.8, minP: 0.01 }])(
    "draws by probability: %o",
    (params) => {
      const [sequences, places, vocab] = [100, 1000, 50];
      const logits = new Random(1).floats(vocab, 1.5);
      const kept = keepTokens(logits, params);
      const total = kept.reduce((sum, { weight }) => sum + weight, 0);
      const slots = Array.from({ length: sequences }, (_, i) => plainSlot({ ...params, seed: BigInt(i) }));
      const rows = slots.map((_, slot): SampleRow => ({ slot }));
      const all = Float32Array.from({ length: sequences * vocab }, (_, i) => logits[i % vocab]!);
      const steps = Array.from({ length: places }, () => stepOf(vocab, rows, all));
      runSample(vocab, slots, steps, { threads: 2 });
      const counts = new Map<number, number>();
      for (const { sampled } of steps) for (const token of sampled) counts.set(token, (counts.get(token) ?? 0) + 1);
      expect([...counts.keys()].every((token) => kept.some((c) => c.token === token))).toBe(true);
      const chiSquare = kept.reduce((sum, { token, weight }) => {
        const expected = (sequences * places * weight) / total;
        return sum + ((counts.get(token) ?? 0) - expected) ** 2 / expected;
      }, 0);
      expect(chiSquareTail(chiSquare, kept.length - 1)).toBeGreaterThan(1e-4);
      expect(steps[999]!.sampled[7]).toBe(chooseToken(logits, params, 7n, 999));
    },
  );

  it("is greedy at temperature 0: the largest, ties by the lower token", () => {
    expect(sampleOne(Float32Array.of(1, 3, 3, Number.NEGATIVE_INFINITY), { temperature: 0 }).token).toBe(1);
    const logits = new Random(2).floats(1003);
    logits[1001] = logits[500] = 9;
    expect(sampleOne(logits, { temperature: 0 }).token).toBe(500);
  });

  it("gives -2 in place of every kind of output whose raw logits are no numbers, and its neighbours what they have alone", () => {
    const vocab = 50;
    const random = new Random(8);
    const good = random.floats(vocab, 2);
    const slots = [
      plainSlot({ seed: 3n, logprobs: 2 }),
      plainSlot({ temperature: 0 }),
      plainSlot({ minTokens: 1, endTokens: Int32Array.of(7) }),
      plainSlot(),
      plainSlot(),
    ];
    const alone = stepOf(vocab, [{ slot: 0 }], good);
    runSample(vocab, slots, [alone]);
    const bad = [Number.NaN, -Number.NaN, Number.POSITIVE_INFINITY].map((value) => good.map((l, i) => (i === 7 ? value : l)));
    for (const broken of [...bad, new Float32Array(vocab).fill(Number.NEGATIVE_INFINITY)]) {
      const rows: SampleRow[] = [{ slot: 1 }, { slot: 0 }, { slot: 2 }, { slot: 3, kind: "score", next: 3 }, { slot: 4, kind: "logits" }];
      const step = stepOf(vocab, rows, Float32Array.from([...broken, ...good, ...broken, ...broken, ...broken]));
      runSample(vocab, slots, [step], { threads: 2 });
      expect([...step.sampled]).toEqual([NOT_NUMBERS, alone.sampled[0], NOT_NUMBERS, NOT_NUMBERS, NOT_NUMBERS]);
      expectSameBits(step.logprobs, Float32Array.of(Number.NaN, alone.logprobs[0]!, Number.NaN, Number.NaN, Number.NaN));
      expect(step.topTokens.slice(20, 40)).toEqual(alone.topTokens);
    }
  });

  it("gives -1 where bans leave no finite logit", () => {
    for (const temperature of [0, 1]) {
      const biasTokens = Int32Array.of(0, 1);
      const biasValues = new Float64Array(2).fill(Number.NEGATIVE_INFINITY);
      expect(sampleOne(Float32Array.of(1, 2), { temperature, biasTokens, biasValues }).token).toBe(-1);
    }
  });

  it("penalizes, biases and bans in this order, and tells the chosen token's raw log-probability", () => {
    const random = new Random(3);
    for (let i = 0; i < 200; i++) {
      const vocab = 40;
      const logits = random.floats(vocab, 3);
      const { config, adjusted, place } = randomAdjustment(logits, random);
      const slot = plainSlot({ ...config, seed: BigInt(i), logprobs: 5 });
      const asked = stepOf(vocab, [{ kind: "logits" }], logits);
      runSample(vocab, [slot], [asked]);
      expect([...asked.resultLogits]).toEqual([...adjusted]);
      const step = stepOf(vocab, [{}], logits);
      runSample(vocab, [slot], [step]);
      expect(step.sampled[0]).toBe(chooseToken(adjusted, OFF, BigInt(i), place));
      expectLogprobs(step, logits, step.sampled[0]!, 5);
    }
  });

  it("lists ties by the lower token, and nothing where nothing was asked for", () => {
    const logits = Float32Array.of(1, 2, 1, 2, 2, 0);
    const [listed, none] = [stepOf(6, [{}], logits), stepOf(6, [{}], logits)];
    runSample(6, [plainSlot({ logprobs: 4 })], [listed]);
    expect([...listed.topTokens.subarray(0, 5)]).toEqual([1, 3, 4, 0, -1]);
    runSample(6, [plainSlot()], [none]);
    expect(none.logprobs[0]).toBeNaN();
    expect(none.topTokens.every((token) => token === -1)).toBe(true);
  });

  it("bans end tokens before minTokens output tokens, those of earlier runs included", () => {
    const slot = plainSlot({ temperature: 0, minTokens: 4, endTokens: Int32Array.of(2), tokens: Int32Array.of(9, 1, 1), promptLength: 1 });
    const steps = Array.from({ length: 4 }, () => stepOf(10, [{}], Float32Array.of(0, 5, 9, 0, 0, 0, 0, 0, 0, 0)));
    runSample(10, [slot], steps);
    expect(steps.map(({ sampled }) => sampled[0])).toEqual([1, 1, 2, 2]);
  });

  it("scores each token by the one that follows, with raw logits for those who ask", () => {
    const [vocab, count] = [30, 4];
    const logits = new Random(4).floats(2 * count * vocab, 4);
    const slot = plainSlot({ repetitionPenalty: 2, tokens: Int32Array.of(8), promptLength: 1 });
    const tokens = [3, 1, -1, 2]; // -1: the last token, 8
    const rows: SampleRow[] = [
      { slot: 0, kind: "score", tokens, outputs: count, next: 17, logitRow: 0 },
      { slot: 1, kind: "score", tokens, outputs: count },
    ];
    const step = stepOf(vocab, rows, logits);
    runSample(vocab, [slot, slot], [step]);
    [1, 8, 2, 17, 1, 8, 2].forEach((token, i) => {
      const expected = logProbabilities(logits.subarray(i * vocab, (i + 1) * vocab))[token]!;
      expect(Math.abs(step.logprobs[i]! - expected)).toBeLessThanOrEqual(2 ** -24 * Math.abs(expected));
    });
    expect(step.logprobs[7]).toBeNaN();
    expectSameBits(step.resultLogits, logits.slice(0, count * vocab));
    expect(step.sampled.every((token) => token === -1)).toBe(true);
  });

  it("refuses tokens and slots that are none, and outputs that a row does not have", () => {
    const args = (config: Partial<SlotConfig>, change: object = {}) => ({
      vocab: 4,
      slots: [plainSlot(config)],
      steps: [{ ...stepOf(4, [{}], new Float32Array(4)), ...change }],
    });
    for (const endTokens of [Int32Array.of(-1), Int32Array.of(4)]) expectRefused("sample", args({ endTokens }), /endTokens has/);
    for (const token of [-2, 4]) expectRefused("sample", args({}, { tokens: Int32Array.of(token) }), /token/);
    for (const slot of [-1, 1]) expectRefused("sample", args({}, { slots: Int32Array.of(slot) }), /slot/);
    expectRefused("sample", args({}, { outIndptr: Int32Array.of(0, 2) }), /outputs/);
    expectRefused("sample", args({}, stepOf(4, [{ outputs: 0 }], new Float32Array(0))), /outputs/);
    expectRefused("sample", args({}, { outputs: Int32Array.of(2), logitRows: Int32Array.of(0) }), /logits/);
    expectRefused("sample", args({}, { sampled: new Int32Array(2) }), /sampled has 2 elements/);
    expectRefused("sample", { ...args({}), steps: [choiceOf(1, new Float32Array(4))] }, /choose is 1/);
    expectRefused("sample", { ...args({}), slots: [] }, /slots has 0 entries/);
  });
});
