import { describe, expect, it } from "vitest";
import { NOT_NUMBERS, type SlotConfig, type StepResults } from "../../lib/native/addon.ts";
import { emptyMatrix, expectSameBits, gathered } from "../support/ops.ts";
import { Random } from "../support/reference.ts";
import { choiceOf, plainSlot, runSample, type SampleRow, type SampleStep, stepOf } from "../support/sample.ts";
import { chooseToken, logProbabilities } from "../support/sampling-reference.ts";

const VOCAB = 40;
const COUNT = 6;

/** Slots whose next sample depends on the tokens before it: by counts, place in the stream of random numbers, or number of tokens. */
const SLOTS: Record<string, Partial<SlotConfig>> = {
  drawn: { temperature: 1.5, seed: 5n },
  penalized: { repetitionPenalty: 1.5, presencePenalty: 1, frequencyPenalty: 2, seed: 6n, logprobs: 3 },
  "greedy and penalized": { temperature: 0, frequencyPenalty: 4, logprobs: 20 },
  "filtered, with end tokens": { topK: 9, topP: 0.9, minTokens: 3, endTokens: Int32Array.of(0, 1, 2, 3), seed: 7n, logprobs: 0 },
};

function slotOf(name: string): SlotConfig {
  return plainSlot({ ...SLOTS[name], tokens: Int32Array.of(4, 9, 9), promptLength: 2 });
}

const rowsOf = (logits: Float32Array, first: number, last: number) => logits.slice(first * VOCAB, last * VOCAB);

/** What one output after the other gives, a step each whose token is what was sampled last. */
function oneByOne(slot: SlotConfig, logits: Float32Array): SampleStep[] {
  const steps = Array.from({ length: COUNT }, (_, i) => stepOf(VOCAB, [{ tokens: [-1] }], rowsOf(logits, i, i + 1)));
  runSample(VOCAB, [slot], steps);
  return steps;
}

/** Whether outputs [first, last) of a result are those of the steps. */
function expectOutputs(result: StepResults, steps: SampleStep[], first: number, last: number, at = 0): void {
  for (let i = first; i < last; i++) {
    const [o, step] = [at + i - first, steps[i]!];
    const tops = [o * 20, (o + 1) * 20] as const;
    expect(result.sampled[o]).toBe(step.sampled[0]);
    expectSameBits(result.logprobs.slice(o, o + 1), step.logprobs);
    expect(result.topTokens.slice(...tops)).toEqual(step.topTokens);
    expectSameBits(result.topLogprobs.slice(...tops), step.topLogprobs);
  }
}

function expectNothing(result: StepResults, first: number, last: number): void {
  expect(result.sampled.slice(first, last).every((token) => token === -1)).toBe(true);
  expect(result.logprobs.slice(first, last).every(Number.isNaN)).toBe(true);
  expect(result.topTokens.slice(first * 20, last * 20).every((token) => token === -1)).toBe(true);
}

describe.each(Object.keys(SLOTS))("a row of several outputs, %s", (name) => {
  const slot = slotOf(name);
  const logits = new Random(name.length).floats(COUNT * VOCAB, 2);
  const steps = oneByOne(slot, logits);
  const tokens = steps.map(({ sampled }) => sampled[0]!);

  it("whose guesses are right gives the same tokens and log-probabilities as one by one, in whatever pieces", () => {
    for (const threads of [1, 2]) {
      for (const piece of [1, 2, 4, COUNT]) {
        const row = { tokens: [-1, ...tokens.slice(0, -1)], outputs: COUNT };
        const step = { ...stepOf(VOCAB, [row], logits), piece };
        runSample(VOCAB, [slot], [step], { threads });
        expectOutputs(step, steps, 0, COUNT);
      }
    }
  });

  it("goes on to the first wrong guess, whose token counts; the next step follows it", () => {
    for (let right = 0; right < COUNT - 1; right++) {
      const guesses = tokens.map((token, i) => (i === right ? (token + 1) % VOCAB : token)).slice(0, -1);
      const step = stepOf(VOCAB, [{ tokens: [-1, ...guesses], outputs: COUNT }], logits);
      const rest = COUNT - right - 1;
      const next = stepOf(VOCAB, [{ tokens: [-1, ...tokens.slice(right + 1, -1)], outputs: rest }], rowsOf(logits, right + 1, COUNT));
      runSample(VOCAB, [slot], [{ ...step, piece: 2 }, next]);
      expectOutputs(step, steps, 0, right + 1);
      expectNothing(step, right + 1, COUNT);
      expectOutputs(next, steps, right + 1, COUNT);
    }
  });

  it("gives outputs for its last tokens only, beside rows of other kinds and padding", () => {
    const others = new Random(9).floats(3 * VOCAB);
    const all = Float32Array.from([...rowsOf(others, 0, 2), ...logits, ...rowsOf(others, 2, 3)]);
    const rows: SampleRow[] = [
      { slot: 1, kind: "score", tokens: [7, 8], outputs: 2 },
      { slot: 3, kind: "none", tokens: [1, 2, 3], outputs: 0 },
      { slot: 0, tokens: [30, 31, -1, ...tokens.slice(0, -1)], outputs: COUNT },
      { slot: 2, kind: "logits" },
    ];
    for (const threads of [1, 2]) {
      for (const padding of [0, 3]) {
        const step = stepOf(VOCAB, rows, all, padding);
        runSample(VOCAB, [slot, plainSlot(), plainSlot(), plainSlot()], [{ ...step, piece: 4 }], { threads });
        expectOutputs({ ...step, ...outputsFrom(step, 2) }, steps, 0, COUNT);
        expect(step.logprobs[0]).toBeCloseTo(logProbabilities(rowsOf(others, 0, 1))[8]!, 5);
        expectNothing(step, 1, 2);
        expectNothing(step, 2 + COUNT, 3 + COUNT + padding);
        expectSameBits(step.resultLogits, rowsOf(others, 2, 3));
      }
    }
  });
});

function outputsFrom(step: StepResults, first: number): StepResults {
  return {
    sampled: step.sampled.slice(first),
    logprobs: step.logprobs.slice(first),
    topTokens: step.topTokens.slice(first * 20),
    topLogprobs: step.topLogprobs.slice(first * 20),
  };
}

describe("sample", () => {
  it("takes a guess of -1 as the slot's last token", () => {
    const logits = Float32Array.from({ length: 2 * VOCAB }, (_, i) => (i % VOCAB === 9 ? 5 : 0));
    const step = stepOf(VOCAB, [{ tokens: [4, -1], outputs: 2 }], logits);
    runSample(VOCAB, [plainSlot({ temperature: 0, tokens: Int32Array.of(9) })], [step]);
    expect([...step.sampled]).toEqual([9, 9]);
    runSample(VOCAB, [plainSlot({ temperature: 0, tokens: Int32Array.of(8) })], [step]);
    expect([...step.sampled]).toEqual([9, -1]);
  });

  it("gives a row the same result alone, among others and on two threads, from logits whose rows lie apart", () => {
    const logits = new Random(12).floats(8 * VOCAB, 2);
    const slots = Array.from({ length: 8 }, (_, i) => plainSlot({ ...SLOTS.penalized, seed: BigInt(i) }));
    const rows = slots.map((_, slot): SampleRow => ({ slot }));
    const matrix = emptyMatrix(8, VOCAB, 5);
    for (let r = 0; r < 8; r++) matrix.data.set(rowsOf(logits, r, r + 1), r * matrix.stride);
    const all = { ...stepOf(VOCAB, rows.toReversed(), logits), logits: matrix };
    runSample(VOCAB, slots, [all], { threads: 2 });
    gathered(matrix, VOCAB);
    const alone = slots.map((slot, i) => {
      const step = stepOf(VOCAB, [{}], rowsOf(logits, 7 - i, 8 - i));
      runSample(VOCAB, [slot], [step]);
      return step;
    });
    expectOutputs(all, alone.toReversed(), 0, 8);
  });
});

describe("choose", () => {
  const logits = new Random(20).floats(VOCAB, 2);
  const changed = logits.map((l, i) => (i % 2 === 0 ? Number.NEGATIVE_INFINITY : l * 1.5));

  it("draws from the changed logits, tells log-probabilities of the raw ones, and counts the token", () => {
    for (let seed = 0; seed < 50; seed++) {
      const params = { temperature: 1.3, topK: 12, topP: 0.95, minP: 0, typicalP: 1 };
      const slot = plainSlot({
        ...params,
        frequencyPenalty: 3,
        seed: BigInt(seed),
        logprobs: 4,
        tokens: Int32Array.of(1, 5, 5),
        promptLength: 1,
      });
      const asked = stepOf(VOCAB, [{ kind: "logits" }], logits);
      const choice = choiceOf(0, changed);
      const after = stepOf(VOCAB, [{ kind: "logits" }], logits);
      runSample(VOCAB, [slot], [asked, choice, after]);
      const token = chooseToken(changed, params, BigInt(seed), 2);
      expect(choice.sampled[0]).toBe(token);
      const expected = logProbabilities(logits);
      const best = [...expected.keys()].sort((a, b) => expected[b]! - expected[a]!).slice(0, 4);
      expect([...choice.topTokens.subarray(0, 5)]).toEqual([...best, -1]);
      expect(choice.logprobs[0]).toBeCloseTo(expected[token]!, 5);
      best.forEach((candidate, j) => {
        expect(choice.topLogprobs[j]).toBeCloseTo(expected[candidate]!, 5);
      });
      expectSameBits(
        asked.resultLogits,
        logits.map((l, i) => (i === 5 ? l - 6 : l)),
      );
      expectSameBits(
        after.resultLogits,
        logits.map((l, i) => l - 3 * ((i === 5 ? 2 : 0) + (i === token ? 1 : 0))),
      );
    }
  });

  it("takes the next place of the stream, and gives the next step its token", () => {
    const slot = plainSlot({ seed: 3n });
    const choice = choiceOf(0, changed);
    const next = stepOf(VOCAB, [{ tokens: [-1] }], logits);
    runSample(VOCAB, [slot], [stepOf(VOCAB, [{ kind: "logits" }], logits), choice, next]);
    const params = { temperature: 1, topK: 0, topP: 1, minP: 0, typicalP: 1 };
    expect([choice.sampled[0], next.sampled[0]]).toEqual(
      [0, 1].map((place) => chooseToken(place === 0 ? changed : logits, params, 3n, place)),
    );
    const score = stepOf(VOCAB, [{ kind: "score", tokens: [2, -1], outputs: 2 }], Float32Array.from([...logits, ...logits]));
    runSample(VOCAB, [slot], [stepOf(VOCAB, [{ kind: "logits" }], logits), choice, score]);
    expect(score.logprobs[0]).toBeCloseTo(logProbabilities(logits)[choice.sampled[0]!]!, 5);
  });

  it("gives -1 where nothing can be chosen: no finite logit, or no logits of a step; -2 where they are no numbers", () => {
    const [bad, none, again] = [
      choiceOf(0, new Float32Array(VOCAB).fill(Number.NEGATIVE_INFINITY)),
      choiceOf(0, changed),
      choiceOf(0, changed),
    ];
    runSample(VOCAB, [plainSlot()], [none]);
    runSample(VOCAB, [plainSlot()], [stepOf(VOCAB, [{ kind: "logits" }], logits), bad, again]);
    for (const choice of [none, again]) expectNothing(choice, 0, 1);
    expect(bad.sampled[0]).toBe(-1);
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const choice = choiceOf(
        0,
        changed.map((l, i) => (i === 3 ? value : l)),
      );
      runSample(VOCAB, [plainSlot()], [stepOf(VOCAB, [{ kind: "logits" }], logits), choice]);
      expect(choice.sampled[0]).toBe(NOT_NUMBERS);
    }
  });
});
