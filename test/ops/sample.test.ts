import { describe, expect, it } from "vitest";
import { op, VARIANTS } from "../support/ops.ts";
import { Random } from "../support/reference.ts";
import { adjustLogits, type ChooseParams, chooseToken, keepTokens, logProbabilities } from "../support/sampling-reference.ts";

const OFF: ChooseParams = { temperature: 1, topK: 0, typicalP: 1, topP: 1, minP: 0 };
const [variant] = VARIANTS; // the op is compiled once; threads matter only to its rows

interface Options {
  rows?: number;
  top?: number;
  seed?: bigint;
  [name: string]: unknown;
}

function sample(logits: Float32Array, options: Options, threads = 1) {
  const { rows = 1, top = 0 } = options;
  const vocab = logits.length / rows;
  const results = {
    token: new Int32Array(rows).fill(-7),
    logprob: new Float32Array(rows).fill(Number.NaN),
    logSum: new Float64Array(rows).fill(Number.NaN),
    topTokens: new Int32Array(rows * top).fill(-7),
    topLogprobs: new Float32Array(rows * top),
    kept: new Uint8Array(vocab),
  };
  op("sample", { ...variant!, threads }, { logits, rows, vocab, top, wantChoose: true, ...results, ...options });
  return { ...results, keptTokens: [...results.kept.keys()].filter((i) => results.kept[i]) };
}

/** Random logits of one of several kinds: spread, peaked, flat, with many ties, with -Infinity and NaN. */
function randomLogits(random: Random): Float32Array {
  const vocab = [1, 2, 17, 100, 1000][random.int(5)]!;
  const spread = [0.1, 1, 5, 30][random.int(4)]!;
  const step = random.int(3) === 0 ? spread / 2 : 0; // ties
  const logits = random.floats(vocab, spread).map((l) => (step > 0 ? Math.round(l / step) * step : l));
  if (random.int(4) === 0) {
    for (let i = 0; i < vocab; i++) if (random.int(3) === 0) logits[i] = Number.NEGATIVE_INFINITY;
  }
  if (random.int(8) === 0) logits[random.int(vocab)] = Number.NaN;
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

describe.each(Object.keys(STAGES))("sample: %s", (stage) => {
  it("keeps what the float64 reference keeps, on 1,000 random rows", () => {
    const random = new Random(stage.length);
    for (let i = 0; i < 1000; i++) {
      const logits = randomLogits(random);
      const params = { ...OFF, ...STAGES[stage]!(random) };
      const expected = keepTokens(logits, params).map(({ token }) => token);
      const { token, keptTokens } = sample(logits, { ...params, seed: BigInt(i), place: i });
      expect(keptTokens, JSON.stringify(params)).toEqual(expected);
      expect(token[0]).toBe(chooseToken(logits, params, BigInt(i), i));
    }
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

describe("sample", () => {
  it.each([OFF, { ...OFF, temperature: 0.8, topK: 20 }, { ...OFF, topP: 0.9 }, { ...OFF, typicalP: 0.8, minP: 0.01 }])(
    "draws by probability: %o",
    (params) => {
      const [draws, vocab] = [100_000, 50];
      const logits = new Random(1).floats(vocab, 1.5);
      const kept = keepTokens(logits, params);
      const total = kept.reduce((sum, { weight }) => sum + weight, 0);
      const counts = new Map<number, number>();
      for (let from = 0; from < draws; from += 10_000) {
        const rows = new Float32Array(10_000 * vocab);
        for (let r = 0; r < 10_000; r++) rows.set(logits, r * vocab);
        for (const token of sample(rows, { ...params, rows: 10_000, seed: 42n, place: from }, 2).token)
          counts.set(token, (counts.get(token) ?? 0) + 1);
      }
      expect([...counts.keys()].every((token) => kept.some((c) => c.token === token))).toBe(true);
      const chiSquare = kept.reduce((sum, { token, weight }) => {
        const expected = (draws * weight) / total;
        return sum + ((counts.get(token) ?? 0) - expected) ** 2 / expected;
      }, 0);
      expect(chiSquareTail(chiSquare, kept.length - 1)).toBeGreaterThan(1e-4);
    },
  );

  it("is greedy at temperature 0: the largest, ties by the lower token", () => {
    expect(sample(Float32Array.of(1, 3, 3, Number.NaN), { temperature: 0 }).token[0]).toBe(1);
    const logits = new Random(2).floats(1003);
    logits[1001] = logits[500] = 9;
    expect(sample(logits, { temperature: 0 }).token[0]).toBe(500);
  });

  it("gives -1 for a row without a finite logit", () => {
    for (const temperature of [0, 1]) {
      for (const logit of [Number.NaN, Number.NEGATIVE_INFINITY])
        expect(sample(new Float32Array(20).fill(logit), { temperature }).token[0]).toBe(-1);
    }
    expect(sample(Float32Array.of(0, Number.POSITIVE_INFINITY, 1), {}).token[0]).toBe(1);
  });

  it("penalizes, biases and bans in this order, and tells the chosen token's raw log-probability", () => {
    const random = new Random(3);
    for (let i = 0; i < 200; i++) {
      const vocab = 40;
      const logits = random.floats(vocab, 3);
      const penalties = { repetitionPenalty: 1 + random.uniform(), presencePenalty: random.normal(), frequencyPenalty: random.normal() };
      const seenTokens = Int32Array.from({ length: 10 }, (_, j) => j * 4 + random.int(4));
      const seenCounts = Int32Array.from(seenTokens, () => random.int(3));
      const biasTokens = Int32Array.from({ length: 5 }, () => random.int(vocab));
      const biasValues = random.floats(5, 5);
      const banned = Int32Array.of(random.int(vocab));
      const seen = [...seenTokens].map((token, j) => [token, seenCounts[j]!] as [number, number]);
      const biases = [...biasTokens].map((token, j) => [token, biasValues[j]!] as [number, number]);
      const adjusted = adjustLogits(logits, { ...penalties, seen, biases, banned });
      const changed = logits.slice();
      const args = { ...penalties, seenTokens, seenCounts, biasTokens, biasValues, banned, wantAdjust: true, wantLogprobs: true, top: 5 };
      const { token, logprob, logSum, topTokens, topLogprobs } = sample(changed, { ...OFF, ...args, seed: BigInt(i) });
      expect([...changed]).toEqual([...adjusted]);
      expect(token[0]).toBe(chooseToken(adjusted, OFF, BigInt(i), 0));
      const expected = logProbabilities(logits);
      expect(logprob[0]).toBeCloseTo(expected[token[0]!]!, 5);
      expect(logits[0]! - logSum[0]!).toBeCloseTo(expected[0]!, 10);
      const best = [...expected.keys()].sort((a, b) => expected[b]! - expected[a]! || a - b).slice(0, 5);
      expect([...topTokens]).toEqual(best);
      for (const [j, l] of topLogprobs.entries()) expect(l).toBeCloseTo(expected[best[j]!]!, 5);
    }
  });

  it("lists ties by the lower token", () => {
    expect([...sample(Float32Array.of(1, 2, 1, 2, 2, 0), { top: 4, wantLogprobs: true }).topTokens]).toEqual([1, 3, 4, 0]);
  });

  it("refuses tokens that are none", () => {
    for (const banned of [Int32Array.of(-1), Int32Array.of(4)]) expect(() => sample(new Float32Array(4), { banned })).toThrow(/banned has/);
  });
});
