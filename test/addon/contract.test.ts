import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type NativeConfig, type NativeEngine, ROW_OUTPUT, type SlotConfig, type StepBuffers } from "../../lib/native/addon.ts";
import { deviceAddon } from "../support/addon.ts";
import { FakeNative } from "../support/fake-native.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { addon, results, SHAPE, slotConfig, stepBuffers, type TinyRow, tinyConfig } from "./support/tiny.mjs";

/** What lib/native/addon.ts promises, of the engine that the library runs on and of the fake one that its tests run on. */

const directory = temporaryDirectory();
const INVALID = { code: "INVALID_ARGUMENT" };
const { none, sample, logits, score } = ROW_OUTPUT;
const V = SHAPE.vocab;
const PROMPT = Int32Array.from({ length: 40 }, (_, i) => (i * 7 + 3) % V);
const END = PROMPT.length;

type Create = (config: NativeConfig) => NativeEngine;
const KINDS: [string, Create][] = [
  ["the addon", (config) => new addon.Engine(config)],
  ["the fake", (config) => new FakeNative(config, { vocabSize: config.spec.vocabSize })],
];

/** Slots whose tokens depend on different things. */
const SLOTS: [string, Partial<SlotConfig>][] = [
  ["greedy", {}],
  ["drawn", { temperature: 1.5, seed: 12345n }],
  ["penalized", { repetitionPenalty: 1.5, presencePenalty: 0.5, frequencyPenalty: 0.7, logprobs: 2 }],
  [
    "biased, without an end",
    { biasTokens: Int32Array.of(5, 9), biasValues: Float64Array.of(2, -3), minTokens: 3, endTokens: Int32Array.of(5) },
  ],
];

describe.each(KINDS)("%s", (name, create) => {
  let engine: NativeEngine;
  const made = async (): Promise<NativeEngine> => {
    const other = create(tinyConfig(join(directory, `${name}.bin`)));
    await other.load(() => {});
    return other;
  };
  beforeAll(async () => {
    engine = await made();
  });
  afterAll(() => engine.close());

  const set = (slot: number, overrides?: Partial<SlotConfig>): void => {
    engine.setSlot(slot, slotConfig({ tokens: PROMPT, promptLength: END, ...overrides }));
  };
  const run = async (...rows: TinyRow[]): Promise<StepBuffers> => {
    const step = stepBuffers(rows);
    await engine.step(step);
    return step;
  };
  const prefill = (slot: number, output: number = sample): TinyRow => ({ slot, start: 0, tokens: PROMPT, output });
  const decode = (slot: number, start: number, ...tokens: number[]): TinyRow => {
    return { slot, start, tokens, output: sample, outputs: tokens.length };
  };

  /** Tokens and log-probabilities of a new sequence, one token a step. */
  async function oneByOne(slot: number, count: number, overrides?: Partial<SlotConfig>): Promise<[tokens: number[], logprobs: number[]]> {
    set(slot, { logprobs: 0, ...overrides });
    const steps = [await run(prefill(slot))];
    while (steps.length < count) steps.push(await run(decode(slot, END + steps.length - 1, -1)));
    return [steps.map((step) => step.sampled[0]!), steps.map((step) => step.logprobs[0]!)];
  }

  describe("refuses", () => {
    it.each<[string, Partial<Record<keyof SlotConfig, unknown>>]>([
      ["temperature", { temperature: -1 }],
      ["temperature, not a number", { temperature: Number.NaN }],
      ["topK", { topK: 1.5 }],
      ["topP", { topP: 1.1 }],
      ["minP", { minP: -0.1 }],
      ["typicalP", { typicalP: "1" }],
      ["repetitionPenalty", { repetitionPenalty: 0 }],
      ["presencePenalty", { presencePenalty: 1e7 }],
      ["frequencyPenalty", { frequencyPenalty: Number.NEGATIVE_INFINITY }],
      ["biasTokens", { biasTokens: Int32Array.of(V), biasValues: Float64Array.of(1) }],
      ["biasValues, too few", { biasTokens: Int32Array.of(1) }],
      ["biasValues, too many", { biasValues: Float64Array.of(1) }],
      ["seed", { seed: 1n << 64n }],
      ["seed, a number", { seed: 1 }],
      ["minTokens", { minTokens: 2 ** 31 }],
      ["endTokens", { endTokens: Int32Array.of(-1) }],
      ["logprobs", { logprobs: 21 }],
      ["tokens", { tokens: Int32Array.of(V) }],
      ["tokens, of another kind", { tokens: [1, 2] }],
      ["promptLength", { tokens: Int32Array.of(1), promptLength: 2 }],
    ])("a slot's %s, at once", (_, wrong) => {
      expect(() => engine.setSlot(0, { ...slotConfig(), ...wrong } as SlotConfig)).toThrow(expect.objectContaining(INVALID));
    });

    it.each([-1, 8, 0.5, Number.NaN])("slot %s, at once", (slot) => {
      expect(() => engine.setSlot(slot, slotConfig())).toThrow(expect.objectContaining(INVALID));
    });

    /** Rows in slots 0 and 1, and what is wrong with them. */
    const WRONG: [string, (step: StepBuffers) => Partial<StepBuffers>][] = [
      ["no row", () => ({ rowCount: 0 })],
      ["more rows than slots", () => ({ rowCount: 9 })],
      ["fewer rows than counted", (step) => ({ slots: step.slots.slice(1) })],
      ["a kind of array", () => ({ starts: new Float32Array(2) as never })],
      ["qIndptr that begins late", (step) => ({ qIndptr: step.qIndptr.with(0, 1) })],
      ["qIndptr that ends early", (step) => ({ qIndptr: step.qIndptr.with(2, 1) })],
      ["qIndptr that is negative", (step) => ({ qIndptr: step.qIndptr.with(2, -1) })],
      ["fewer tokens", (step) => ({ tokens: step.tokens.slice(1) })],
      ["a row without a token", (step) => ({ qIndptr: step.qIndptr.with(1, step.qIndptr[2]!) })],
      ["a slot beyond the last", (step) => ({ slots: step.slots.with(1, 8) })],
      ["a slot in two rows", (step) => ({ slots: step.slots.with(1, 0) })],
      ["a slot of no sequence", (step) => ({ slots: step.slots.with(1, 6) })],
      ["-1 for a slot without a token", (step) => ({ slots: step.slots.with(1, 7), tokens: step.tokens.with(END, -1) })],
      ["a token beyond the vocabulary", (step) => ({ tokens: step.tokens.with(3, V) })],
      ["a token below -1", (step) => ({ tokens: step.tokens.with(3, -2) })],
      ["a next token beyond the vocabulary", (step) => ({ nextTokens: step.nextTokens.with(1, V) })],
      ["a position below 0", (step) => ({ starts: step.starts.with(1, -1) })],
      ["a position beyond the context", (step) => ({ starts: step.starts.with(1, 1024) })],
      ["an unknown kind of row", (step) => ({ kinds: step.kinds.with(1, 4) })],
      ["outIndptr that begins late", (step) => ({ outIndptr: step.outIndptr.with(0, 1) })],
      ["a sampled row without an output", (step) => ({ outIndptr: step.outIndptr.with(2, step.outIndptr[1]!) })],
      ["more outputs than tokens", (step) => ({ outIndptr: step.outIndptr.with(2, 3) })],
      ["outputs of a row of none", (step) => ({ kinds: step.kinds.with(1, none) })],
      ["a score row with fewer outputs than tokens", (step) => ({ kinds: step.kinds.with(0, score) })],
      ["a logits row without a place for them", (step) => ({ kinds: step.kinds.with(1, logits) })],
      ["a place for logits without room", (step) => ({ logitRows: step.logitRows.with(0, 0) })],
      ["a place for logits beyond the room", (step) => ({ logitRows: step.logitRows.with(0, 1), logits: new Float32Array(V) })],
      ["a place for logits below -1", (step) => ({ logitRows: step.logitRows.with(0, -2) })],
      ["logits that are no whole row", () => ({ logits: new Float32Array(V + 1) })],
      ["pages beyond the pool", (step) => ({ kvPages: step.kvPages.with(0, 128) })],
      ["pages below 0", (step) => ({ kvPages: step.kvPages.with(0, -1) })],
      ["pages that do not reach the row's end", (step) => ({ kvIndptr: step.kvIndptr.with(1, 2) })],
      ["pages that begin after what the row sees", (step) => ({ kvFirst: step.kvFirst.with(0, 1) })],
      ["page tables that end before they begin", (step) => ({ kvIndptr: step.kvIndptr.with(1, 9) })],
      ["more pages than contexts have", (step) => ({ kvIndptr: step.kvIndptr.with(5, 257), kvPages: new Int32Array(257) })],
      ["fewer pages", (step) => ({ kvPages: step.kvPages.slice(1) })],
      ["fewer firsts", (step) => ({ kvFirst: step.kvFirst.slice(1) })],
      ["no room for tokens", () => ({ sampled: new Int32Array(1) })],
      ["no room for log-probabilities", () => ({ logprobs: new Float32Array(1) })],
      ["no room for alternatives", () => ({ topTokens: new Int32Array(39) })],
      ["no room for their log-probabilities", () => ({ topLogprobs: new Float32Array(39) })],
    ];

    it.each(WRONG)("a step: %s; its sequences are as they were", async (_, spoil) => {
      const [expected] = await oneByOne(0, 3);
      set(0);
      set(1);
      engine.setSlot(7, slotConfig());
      const step = stepBuffers([prefill(0), decode(1, 0, 1)]);
      await expect(engine.step({ ...step, ...spoil(step) })).rejects.toMatchObject(INVALID);
      expect(await oneByOne(0, 3).then(([tokens]) => tokens)).toEqual(expected);
    });

    it("a step of more tokens than asked for when the engine was made", async () => {
      set(0);
      const step = stepBuffers([{ slot: 0, start: 0, tokens: new Int32Array(1025), output: none }], 65);
      await expect(engine.step(step)).rejects.toMatchObject(INVALID);
    });

    it("a choice that no slot waits for, or of wrong logits", async () => {
      set(0);
      await run(prefill(0));
      const choose = (slot: number, length: number, room: number) => engine.choose(slot, new Float32Array(length), results(room));
      await expect(choose(0, V, 1)).rejects.toMatchObject(INVALID);
      await run(decode(0, END, -1), { slot: 1, start: 0, tokens: [1], output: none });
      set(0);
      await run(prefill(0, logits));
      for (const slot of [-1, 8, 1.5, 1]) await expect(choose(slot, V, 1)).rejects.toMatchObject(INVALID);
      for (const length of [V - 1, V + 1]) await expect(choose(0, length, 1)).rejects.toMatchObject(INVALID);
      await expect(engine.choose(0, new Float32Array(V), undefined as never)).rejects.toMatchObject(INVALID);
      await choose(0, V, 1);
      await expect(choose(0, V, 1)).rejects.toMatchObject(INVALID);
      set(0);
      await run(prefill(0, logits));
      await expect(choose(0, V, 0)).rejects.toMatchObject(INVALID);
      await run(prefill(0, logits));
      set(0);
      await expect(choose(0, V, 1)).rejects.toMatchObject(INVALID); // another sequence's
    });

    it("to load twice, and all but that before", async () => {
      await expect(engine.load(() => {})).rejects.toMatchObject(INVALID);
      await expect(engine.load(5 as never)).rejects.toMatchObject(INVALID);
      const other = create(tinyConfig(join(directory, `${name}.bin`)));
      other.setSlot(0, slotConfig());
      await expect(other.step(stepBuffers([prefill(0)]))).rejects.toMatchObject(INVALID);
      await other.load(() => {});
      await expect(other.step(stepBuffers([prefill(0)]))).rejects.toMatchObject(INVALID); // that slot was set too early
      await other.close();
    });

    it("everything once it is closed, what is wrong as before", async () => {
      const other = await made();
      other.setSlot(0, slotConfig());
      const running = other.step(stepBuffers([prefill(0)])).then(
        () => undefined,
        (error) => error.code,
      );
      const closing = other.close();
      for (let i = 0; i < 2; i++) {
        await expect(other.step(stepBuffers([prefill(0)]))).rejects.toMatchObject({ code: "CLOSED" });
        await expect(other.load(() => {})).rejects.toMatchObject({ code: "CLOSED" });
        await expect(other.choose(0, new Float32Array(V), results(1))).rejects.toMatchObject({ code: "CLOSED" });
        expect(() => other.setSlot(0, slotConfig())).toThrow(expect.objectContaining({ code: "CLOSED" }));
        await expect(other.step({ ...stepBuffers([prefill(0)]), rowCount: 0 })).rejects.toMatchObject(INVALID);
        expect(() => other.setSlot(0, slotConfig({ topK: -1 }))).toThrow(expect.objectContaining(INVALID));
        await closing;
      }
      expect([undefined, "CLOSED"]).toContain(await running);
      await expect(other.close()).resolves.toBeUndefined();
    });
  });

  describe("runs calls in order", () => {
    it("and settles them in order, overlapping or not, with the same tokens", async () => {
      const [expected] = await oneByOne(0, 4);
      set(1);
      set(2);
      const settled: string[] = [];
      const note = (what: string, call: Promise<unknown>) => call.then(() => settled.push(what)).catch(() => settled.push(`${what} fails`));
      const first = stepBuffers([prefill(1), prefill(2, logits)]);
      const second = stepBuffers([decode(1, END, -1)]);
      const one = note("step 1", engine.step(first));
      const two = note("step 2", engine.step(second));
      await one;
      const chosen = results(1);
      const three = note("choice", engine.choose(2, first.logits!, chosen));
      await two;
      const third = stepBuffers([decode(1, END + 1, -1), decode(2, END, -1)]);
      const fourth = stepBuffers([decode(1, END + 2, -1)]);
      await Promise.all([three, note("step 3", engine.step(third)), note("step 4", engine.step(fourth))]);
      expect(settled).toEqual(["step 1", "step 2", "choice", "step 3", "step 4"]);
      expect([first, second, third, fourth].map((step) => step.sampled[0])).toEqual(expected);
      expect([chosen.sampled[0], third.sampled[1]]).toEqual(expected.slice(0, 2)); // the logits were not changed
    });

    it("and those that are refused settle among them", async () => {
      set(1);
      const settled: string[] = [];
      const calls = [prefill(1), decode(6, 0, 1)].map((row, i) => {
        return engine.step(stepBuffers([row])).then(
          () => settled.push(`${i}`),
          () => settled.push(`${i} fails`),
        );
      });
      await Promise.all(calls);
      expect(settled).toEqual(["0", "1 fails"]);
    });

    it("and a slot changes hands among them", async () => {
      const [expected] = await oneByOne(0, 2);
      set(1);
      const before = stepBuffers([prefill(1)]);
      const step = engine.step(before);
      set(1, { tokens: Int32Array.of(9), promptLength: 1 });
      const after = stepBuffers([decode(1, 0, -1)]);
      await Promise.all([step, engine.step(after)]);
      set(2);
      expect([before.sampled[0], after.sampled[0]]).toEqual([expected[0], (await run(decode(2, 0, 9))).sampled[0]]);
    });

    it("on copies of what they are given", async () => {
      const [[expected]] = await oneByOne(0, 1);
      const config = slotConfig({ tokens: PROMPT.slice(), promptLength: END, repetitionPenalty: 1.5 });
      const [penalized] = await oneByOne(1, 1, { repetitionPenalty: 1.5 });
      engine.setSlot(2, config);
      config.tokens.fill(0);
      const changed = stepBuffers([prefill(2), prefill(3)]);
      set(3);
      const step = engine.step(changed);
      changed.rowCount = 0;
      for (const array of [changed.tokens, changed.slots, changed.kvPages, changed.qIndptr, changed.starts, changed.outIndptr])
        array.fill(-7);
      await step;
      expect([...changed.sampled]).toEqual([penalized[0], expected]);

      set(4);
      const { logits: given } = await run(prefill(4, logits));
      const chosen = results(1);
      const choice = engine.choose(4, given!, chosen);
      given!.fill(Number.NaN);
      await choice;
      expect(chosen.sampled[0]).toBe(expected);
    });
  });

  describe("a row of several outputs", () => {
    it.each(SLOTS)("gives the tokens and log-probabilities of one by one while its guesses are right: %s", async (_, overrides) => {
      const [tokens, logprobs] = await oneByOne(0, 7, overrides);
      set(1, { logprobs: 0, ...overrides });
      // The prompt with two guesses, all right; the token on the device with three, the second of them wrong.
      const first = await run({ slot: 1, start: 0, tokens: [...PROMPT, ...tokens.slice(0, 2)], output: sample, outputs: 3 });
      expect([[...first.sampled], [...first.logprobs]]).toEqual([tokens.slice(0, 3), logprobs.slice(0, 3)]);
      const wrong = (tokens[4]! + 1) % V;
      const second = await run(decode(1, END + 2, -1, tokens[3]!, wrong, tokens[5]!));
      expect([...second.sampled]).toEqual([tokens[3], tokens[4], -1, -1]);
      expect([...second.logprobs]).toEqual([logprobs[3], logprobs[4], Number.NaN, Number.NaN]);
      expect([...second.topTokens.subarray(40)]).toEqual(Array.from({ length: 40 }, () => -1));
      // What follows the last token that counts, as if nothing had been guessed.
      const third = await run(decode(1, END + 4, -1, tokens[5]!));
      expect([[...third.sampled], [...third.logprobs]]).toEqual([tokens.slice(5, 7), logprobs.slice(5, 7)]);
    });

    it("may stand beside others", async () => {
      const [tokens] = await oneByOne(0, 3);
      set(1);
      set(2);
      set(3);
      const all: TinyRow = { slot: 1, start: 0, tokens: [...PROMPT, ...tokens.slice(0, 2)], output: sample, outputs: 3 };
      const step = await run(prefill(2, none), all, prefill(3));
      expect([[...step.outIndptr], [...step.sampled]]).toEqual([
        [0, 0, 3, 4],
        [...tokens, tokens[0]],
      ]);
    });
  });

  describe("logits", () => {
    it("come after penalties and bias, and a token is chosen from what comes back, with the log-probability of the raw ones", async () => {
      const biased = { biasTokens: Int32Array.of(17), biasValues: Float64Array.of(-1), logprobs: 2 };
      set(0);
      set(1, biased);
      const [raw, adjusted] = [(await run(prefill(0, logits))).logits!, (await run(prefill(1, logits))).logits!];
      expect([...adjusted]).toEqual([...raw.with(17, raw[17]! - 1)]);
      const chosen = results(1);
      await engine.choose(1, raw.slice().fill(Number.NEGATIVE_INFINITY).with(17, 0), chosen);
      expect(chosen.sampled[0]).toBe(17);
      const expected = logSoftmax(raw);
      expect(chosen.logprobs[0]).toBeCloseTo(expected[17]!, 5);
      const best = [...expected.keys()].sort((a, b) => expected[b]! - expected[a]!);
      expect([...chosen.topTokens.subarray(0, 3)]).toEqual([best[0], best[1], -1]);
      set(2);
      const [onDevice, given] = [await run(decode(1, END, -1)), await run({ slot: 2, start: 0, tokens: [...PROMPT, 17], output: logits })];
      await engine.choose(2, given.logits!.with(17, given.logits![17]! - 1), chosen);
      expect(onDevice.sampled[0]).toBe(chosen.sampled[0]);
    });

    it.each([
      [Number.NEGATIVE_INFINITY, -1],
      [Number.NaN, -2],
      [Number.POSITIVE_INFINITY, -2],
    ])("of %s give %i", async (value, token) => {
      set(0);
      await run(prefill(0, logits));
      const chosen = results(1);
      await engine.choose(0, new Float32Array(V).fill(value), chosen);
      expect(chosen.sampled[0]).toBe(token);
    });
  });

  it("scores a row's tokens: output t tells of token t + 1, the last of nextTokens; with logits or without", async () => {
    for (const slot of [0, 1, 2]) set(slot);
    const row = { start: 0, tokens: PROMPT, output: score };
    const step = await run({ ...row, slot: 0, next: 11 }, { ...row, slot: 1, next: -1, wantLogits: true }, prefill(2));
    expect([...step.logitRows]).toEqual([-1, 0, -1]);
    expect(step.logits).toHaveLength(END * V);
    const expected = Array.from(PROMPT, (_, t) => logSoftmax(step.logits!.subarray(t * V, (t + 1) * V)));
    for (let t = 0; t < END; t++) {
      expect(step.logprobs[t]).toBeCloseTo(expected[t]![t + 1 < END ? PROMPT[t + 1]! : 11]!, 4);
      if (t + 1 < END) expect(step.logprobs[END + t]).toBe(step.logprobs[t]);
    }
    expect(step.logprobs[2 * END - 1]).toBeNaN();
    expect(new Set(step.sampled.subarray(0, 2 * END))).toEqual(new Set([-1]));
    expect([...(await oneByOne(3, 1))[0]]).toEqual([step.sampled[2 * END]]);
  });

  it("fills what was not asked for with nothing", async () => {
    set(0, { logprobs: -1 });
    set(1, { logprobs: 3 });
    const step = await run(prefill(0), prefill(1));
    expect([step.logprobs[0], [...step.topTokens.subarray(0, 20)]]).toEqual([Number.NaN, Array.from({ length: 20 }, () => -1)]);
    expect([...step.topTokens.subarray(20, 24)].map((token) => token >= 0)).toEqual([true, true, true, false]);
    expect(step.logprobs[1]).toBeLessThan(0);
  });

  it("may be given more room than it needs, the rest of which it leaves alone", async () => {
    set(0);
    const step = { ...stepBuffers([prefill(0)]), ...results(3) };
    step.sampled.fill(-5);
    await engine.step(step);
    expect([...step.sampled.subarray(1)]).toEqual([-5, -5]);
    expect(step.sampled[0]).toBeGreaterThanOrEqual(0);
  });

  it("records nothing where it runs at once", async () => {
    set(0);
    expect(await engine.step(stepBuffers([prefill(0)]))).toBe(false);
  });
});

describe("a device tells of the first step of each size that it has recorded it", () => {
  let engine: NativeEngine;

  beforeEach(async () => {
    engine = new deviceAddon.Engine(tinyConfig(join(directory, "device.bin"), { maxContext: 2048 }));
    await engine.load(() => {});
  });
  afterEach(() => engine.close());

  const step = async (slot: number, start: number): Promise<boolean> => {
    engine.setSlot(slot, slotConfig({ tokens: Int32Array.of(3), promptLength: 1 }));
    return engine.step(stepBuffers([{ slot, start, tokens: Int32Array.of(3), output: sample }]));
  };

  it("whatever the row", async () => {
    expect([await step(0, 0), await step(1, 0), await step(0, 0)]).toEqual([true, false, false]);
  });

  it("and of long contexts by themselves", async () => {
    expect([await step(0, 1023), await step(0, 1024), await step(0, 1025), await step(0, 0)]).toEqual([true, true, false, false]);
  });
});

/** Natural logarithms of the softmax, in float64. */
function logSoftmax(row: Float32Array): number[] {
  const largest = Math.max(...row);
  const logSum = largest + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
  return Array.from(row, (logit) => logit - logSum);
}
