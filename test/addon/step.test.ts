import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createEngine } from "../../lib/engine.ts";
import { type NativeConfig, type NativeEngine, ROW_OUTPUT, type StepBuffers } from "../../lib/native/addon.ts";
import { openParts } from "../../lib/run/parts.ts";
import { TINY, writeModel } from "../support/models.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { addon, SHAPE, slotConfig, stepBuffers, tinyConfig } from "./support/tiny.mjs";

const directory = temporaryDirectory();
const { none, sample, logits, score } = ROW_OUTPUT;
const PROMPT = Int32Array.from({ length: 40 }, (_, i) => (i * 7 + 3) % SHAPE.vocab);
let engine: NativeEngine;

beforeAll(async () => {
  engine = new addon.Engine(tinyConfig(join(directory, "weights.bin")));
  await engine.load(() => {});
});
afterAll(() => engine.close());

/** A slot with the prompt, and the step that computes it. */
function prefill(slot: number, output: number, overrides?: Parameters<typeof slotConfig>[0]): StepBuffers {
  engine.setSlot(slot, slotConfig({ tokens: PROMPT, promptLength: PROMPT.length, ...overrides }));
  return stepBuffers([{ slot, start: 0, tokens: PROMPT, output }]);
}

function decode(slot: number, position: number, token: number): StepBuffers {
  return stepBuffers([{ slot, start: position, tokens: [token], output: sample }]);
}

/** Natural logarithms of the softmax, in float64. */
function logSoftmax(row: Float32Array): number[] {
  const largest = Math.max(...row);
  const logSum = largest + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
  return Array.from(row, (logit) => logit - logSum);
}

describe("tokens on the device", () => {
  it("refuses -1 for a slot that has no token, and a slot of no sequence", async () => {
    engine.setSlot(5, slotConfig());
    await expect(engine.step(decode(5, 0, -1))).rejects.toMatchObject({ code: "INVALID_ARGUMENT", message: /sampled no token/ });
    await expect(engine.step(decode(6, 0, 1))).rejects.toMatchObject({ code: "INVALID_ARGUMENT", message: /no sequence/ });
  });

  it("gives the same tokens whether steps overlap or wait for each other", async () => {
    const waiting: number[] = [];
    const first = prefill(0, sample);
    await engine.step(first);
    waiting.push(first.sampled[0]!);
    for (let i = 0; i < 6; i++) {
      const next = decode(0, PROMPT.length + i, waiting.at(-1)!);
      await engine.step(next);
      waiting.push(next.sampled[0]!);
    }
    const overlapping = [prefill(1, sample), ...Array.from({ length: 6 }, (_, i) => decode(1, PROMPT.length + i, -1))];
    const settled: number[] = [];
    await Promise.all(overlapping.map((step, i) => engine.step(step).then(() => settled.push(i))));
    expect(overlapping.map((step) => step.sampled[0])).toEqual(waiting);
    expect(settled).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  it("copies what it is given before the call returns", async () => {
    const expected = prefill(2, sample);
    await engine.step(expected);
    const changed = prefill(3, sample);
    const result = engine.step(changed);
    for (const array of [changed.tokens, changed.slots, changed.kvPages, changed.qIndptr, changed.starts]) array.fill(-7);
    await result;
    expect(changed.sampled[0]).toBe(expected.sampled[0]);
  });
});

describe("rows", () => {
  it("fills the results of the rows that ask for them, the others with -1", async () => {
    for (const slot of [0, 1, 2]) engine.setSlot(slot, slotConfig({ logprobs: slot === 2 ? 3 : -1 }));
    const step = stepBuffers([none, sample, sample].map((output, slot) => ({ slot, start: 0, tokens: PROMPT, output })));
    const { logits: rows, scores } = await engine.step(step);
    expect([rows.size, scores.size]).toEqual([0, 0]);
    expect(step.sampled[0]).toBe(-1);
    expect(step.sampled[1]).toBe(step.sampled[2]);
    expect([...step.topTokens.subarray(0, 40)].every((token) => token === -1)).toBe(true);
    expect(step.topTokens[40]).toBe(step.sampled[2]);
    expect(step.topLogprobs[40]).toBe(step.logprobs[2]);
    const top = [...step.topLogprobs.subarray(40, 43)];
    expect(top).toEqual(top.toSorted((a, b) => b - a));
    expect(step.topTokens[43]).toBe(-1);
  });

  it("scores the tokens of a row: logits[t] tell of token t + 1, the last of nextTokens", async () => {
    for (const next of [11, -1]) {
      engine.setSlot(0, slotConfig());
      const step = stepBuffers([{ slot: 0, start: 0, tokens: PROMPT, output: score, next, wantLogits: 1 }]);
      const { logits: rows, scores } = await engine.step(step);
      const [all, own] = [rows.get(0)!, scores.get(0)!];
      expect([all.length, own.length, step.sampled[0]]).toEqual([PROMPT.length * SHAPE.vocab, PROMPT.length, -1]);
      for (let t = 0; t < PROMPT.length; t++) {
        const following = t + 1 < PROMPT.length ? PROMPT[t + 1]! : next;
        const expected = logSoftmax(all.subarray(t * SHAPE.vocab, (t + 1) * SHAPE.vocab))[following] ?? Number.NaN;
        if (Number.isNaN(expected)) expect(own[t]).toBeNaN();
        else expect(own[t]).toBeCloseTo(expected, 5);
      }
    }
  });

  it("hands logits to a processor and samples from what comes back, once", async () => {
    const { logits: rows } = await engine.step(prefill(0, logits, { logprobs: 2 }));
    const raw = rows.get(0)!;
    const changed = raw.slice().fill(Number.NEGATIVE_INFINITY);
    changed[17] = 0;
    const chosen = await engine.sample(0, changed);
    expect(chosen.token).toBe(17);
    expect(chosen.logprob).toBeCloseTo(logSoftmax(raw)[17]!, 5);
    expect(chosen.topTokens[0]).toBe(raw.indexOf(Math.max(...raw)));
    expect([chosen.topTokens.length, chosen.topLogprobs.length]).toEqual([2, 2]);
    await expect(engine.sample(0, changed)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });

    const onDevice = decode(0, PROMPT.length, -1);
    await engine.step(onDevice);
    const given = decode(0, PROMPT.length, 17);
    await engine.step(given);
    expect(onDevice.sampled[0]).toBe(given.sampled[0]);
  });
});

it("crosses once per step, whatever the number of requests", async () => {
  const calls: string[] = [];
  class Counting extends addon.Engine {
    override step(buffers: StepBuffers): ReturnType<NativeEngine["step"]> {
      calls.push(`step of ${buffers.rowCount}`);
      return super.step(buffers);
    }
    override setSlot(...slot: Parameters<NativeEngine["setSlot"]>): void {
      calls.push("setSlot");
      super.setSlot(...slot);
    }
  }
  await writeModel(join(directory, "model"), TINY);
  const module = { ...addon, Engine: Counting as new (config: NativeConfig) => NativeEngine };
  const tiny = createEngine(await openParts(join(directory, "model"), { threads: 1 }, module));
  await Promise.all([5, 6, 7, 8].map((token) => tiny.generate([token], { maxTokens: 8, ignoreEos: true })));
  await tiny.close();
  expect(calls.filter((call) => call === "setSlot").length).toBe(4);
  expect(calls.filter((call) => call === "step of 4").length).toBeGreaterThanOrEqual(7);
  expect(calls.filter((call) => call.startsWith("step")).length).toBeLessThanOrEqual(10);
});
