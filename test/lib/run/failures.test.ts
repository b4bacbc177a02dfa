import { afterEach, describe, expect, test, vi } from "vitest";
import { VOCAB } from "../../support/fake-engine.ts";
import { fakeLogits } from "../../support/fake-model.ts";
import type { FakeNative } from "../../support/fake-native.ts";
import { expectedTokens } from "../../support/fake-slot.ts";
import { codeOf, create, expectIdle, failure, on, promptOf, until } from "./support.ts";

/** A failure costs as little as it can: one request, or those of one step. */

const MEMORY = failure("OUT_OF_MEMORY");
const DEFECT = failure("INTERNAL");

/** Steps wait from now on until the returned function is called. */
function closeGate(native: FakeNative): () => void {
  let open!: () => void;
  native.gate = new Promise((resolve) => {
    open = resolve;
  });
  return open;
}

describe("a slot that the native side refuses", () => {
  /** An engine whose native side refuses `topP` 0.5. */
  function refusing(): ReturnType<typeof create> {
    const made = create();
    const setSlot = made.native.setSlot.bind(made.native);
    made.native.setSlot = (slot, config) => {
      if (config.topP === 0.5) throw Object.assign(new Error("topP"), { code: "INVALID_ARGUMENT" });
      setSlot(slot, config);
    };
    return made;
  }

  test.each([1, 3])("fails its own request, all %i choices of it", async (n) => {
    const { engine, model, native } = refusing();
    const others = [promptOf(3, 1), promptOf(40, 2)];
    const running = others.map((prompt) => engine.generate(prompt, { ...on, maxTokens: 10 }));
    const refused = [engine.generate([3], { topP: 0.5, n }), engine.generate(promptOf(40, 2), { topP: 0.5, n })];
    for (const call of refused) await expect(call).rejects.toMatchObject({ code: "INVALID_ARGUMENT", message: "topP" });
    for (const [i, { tokens }] of (await Promise.all(running)).entries()) expect(tokens).toEqual(expectedTokens(model, others[i]!, 10));
    expect(native.steps).toBe(10); // the refused rows cost no step
    expectIdle(engine);
  });

  test("fails a request that waited beside others that run", async () => {
    const { engine, model, native } = refusing();
    const other = engine.generate([2], { ...on, maxTokens: 20 });
    await until(() => native.steps > 5);
    expect(await codeOf(engine.generate(promptOf(40), { topP: 0.5, n: 2 }))).toBe("INVALID_ARGUMENT");
    expect((await other).tokens).toEqual(expectedTokens(model, [2], 20));
    expectIdle(engine);
  });

  test("leaves no step to submit when all rows were its", async () => {
    const { engine, model, native } = refusing();
    expect(await codeOf(engine.generate(promptOf(40), { topP: 0.5, n: 5 }))).toBe("INVALID_ARGUMENT");
    expect(native.steps).toBe(0);
    expectIdle(engine);
    // What it should have computed is not in the cache.
    const { tokens, usage } = await engine.generate(promptOf(40), { ...on, maxTokens: 5 });
    expect([tokens, usage.cachedTokens]).toEqual([expectedTokens(model, promptOf(40), 5), 0]);
  });

  test("fails a request that had it before a preemption", async () => {
    const { engine, native, model } = create({ options: { kvCacheBytes: 12 * 256, maxContext: 128, maxBatchTokens: 32 } });
    const setSlot = native.setSlot.bind(native);
    native.setSlot = (slot, config) => {
      if (config.tokens.length > config.promptLength) throw failure("INVALID_ARGUMENT"); // after a preemption
      setSlot(slot, config);
    };
    const calls = [1, 2, 3].map((seed) => engine.generate(promptOf(16, seed), { ...on, maxTokens: 60 }));
    const ends = await Promise.all(calls.map((call) => call.then(({ tokens }) => tokens, (error) => error.code))); // biome-ignore format: a line
    expect(engine.stats().preemptions).toBeGreaterThan(0);
    expect(ends).toContain("INVALID_ARGUMENT");
    expect(ends[0]).toEqual(expectedTokens(model, promptOf(16, 1), 60)); // the first by rank is never preempted
    expectIdle(engine);
  });
});

describe("memory for results", () => {
  afterEach(() => vi.unstubAllGlobals());

  /** From now on an array of more floats cannot be had. */
  function limitFloats(most: number): void {
    const limited = new Proxy(Float32Array, {
      construct(target, args, newTarget) {
        if (typeof args[0] === "number" && args[0] > most) throw new RangeError("Array buffer allocation failed");
        return Reflect.construct(target, args, newTarget);
      },
    });
    vi.stubGlobal("Float32Array", limited);
  }

  test("that a score's logits would take fails it before it begins", async () => {
    const { engine, model, native } = create();
    const other = engine.generate([5], { ...on, maxTokens: 10 });
    limitFloats(100 * VOCAB - 1);
    await expect(engine.score(promptOf(100), { logits: true })).rejects.toMatchObject({ code: "OUT_OF_MEMORY", message: /100 tokens/ });
    expect((await engine.score(promptOf(99), { logits: true })).logits).toHaveLength(99 * VOCAB);
    expect((await engine.score(promptOf(100))).logprobs).toHaveLength(100);
    expect((await other).tokens).toEqual(expectedTokens(model, [5], 10));
    expect(native.failing(1)).toBeUndefined();
    expectIdle(engine);
  });

  test("that a score's next chunk would take fails it half way, and nobody else", async () => {
    const { engine, model, native } = create({ options: { maxBatchTokens: 16 } });
    const other = engine.generate([5], { ...on, maxTokens: 30 });
    const scores = codeOf(engine.score(promptOf(100), { logits: true }));
    await until(() => native.steps === 3);
    limitFloats(10 * VOCAB);
    expect(await scores).toBe("OUT_OF_MEMORY");
    const small = engine.score(promptOf(5, 1), { logits: true });
    expect((await other).tokens).toEqual(expectedTokens(model, [5], 30));
    expect((await small).logits!.subarray(4 * VOCAB)).toEqual(fakeLogits(model, promptOf(5, 1)));
    expectIdle(engine);
  });

  test("that processors' logits would take fails the last by rank, until the others have room", async () => {
    const { engine, model } = create();
    limitFloats(2 * VOCAB);
    const process = (logits: Float32Array): Float32Array => logits;
    const calls = [1, 2, 3, 4].map((seed) => engine.generate(promptOf(3, seed), { ...on, maxTokens: 6, logitsProcessor: process }));
    const plain = engine.generate([5], { ...on, maxTokens: 10 });
    expect(await Promise.all(calls.map(codeOf))).toEqual(["none", "none", "OUT_OF_MEMORY", "OUT_OF_MEMORY"]);
    for (const [i, call] of calls.slice(0, 2).entries()) expect((await call).tokens).toEqual(expectedTokens(model, promptOf(3, i + 1), 6));
    expect((await plain).tokens).toEqual(expectedTokens(model, [5], 10));
    expectIdle(engine);
  });

  test("that choices of one request would take together fails it; a plan without rows is not submitted", async () => {
    const { engine, model, native } = create({ options: { prefixCache: false } });
    limitFloats(2 * VOCAB);
    const params = { ...on, maxTokens: 6, logitsProcessor: (logits: Float32Array) => logits };
    expect(await codeOf(engine.generate([4, 5], { ...params, n: 3 }))).toBe("OUT_OF_MEMORY");
    expect(native.steps).toBe(0);
    expectIdle(engine);
    const { choices } = await engine.generate([4, 5], { ...params, n: 2 });
    for (const { tokens } of choices) expect(tokens).toEqual(expectedTokens(model, [4, 5], 6));
    expectIdle(engine);
  });
});

describe("a step that fails for lack of memory", () => {
  test("fails its requests, and the engine gives what a fresh one gives", async () => {
    const { engine, native, model } = create();
    native.failing = (step) => (step === 4 ? MEMORY : undefined);
    const prompts = [promptOf(3, 1), promptOf(40, 2)];
    const calls = prompts.map((prompt) => engine.generate(prompt, { ...on, maxTokens: 20 }));
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: "OUT_OF_MEMORY", message: MEMORY.message });
    expectIdle(engine);
    for (const prompt of prompts)
      expect((await engine.generate(prompt, { ...on, maxTokens: 20 })).tokens).toEqual(expectedTokens(model, prompt, 20));
    expectIdle(engine);
  });

  test("leaves no page in the cache that it should have written, but those that steps before it wrote", async () => {
    const { engine, native, model } = create({ options: { maxBatchTokens: 32 } });
    native.failing = (step) => (step === 2 ? MEMORY : undefined);
    const prompt = promptOf(100);
    expect(await codeOf(engine.generate(prompt, { ...on, maxTokens: 5 }))).toBe("OUT_OF_MEMORY");
    expectIdle(engine);
    const { tokens, usage } = await engine.generate(prompt, { ...on, maxTokens: 5 });
    expect(usage.cachedTokens).toBe(32); // step 1's
    expect(tokens).toEqual(expectedTokens(model, prompt, 5));
  });

  test("fails those who had found such pages meanwhile, and leaves the rest alone", async () => {
    const { engine, native, model } = create({ options: { maxBatchTokens: 48 } });
    native.failing = (step) => (step === 2 ? MEMORY : undefined);
    const open = closeGate(native);
    const prompt = promptOf(70);
    const params = { ...on, maxTokens: 8 };
    const first = codeOf(engine.generate(prompt, params));
    await until(() => native.steps === 2); // tokens [0, 48), then [48, 70)
    const [found, own] = [codeOf(engine.generate([...prompt, 5], params)), engine.generate(promptOf(30, 3), params)];
    open();
    expect(await Promise.all([first, found])).toEqual(["OUT_OF_MEMORY", "OUT_OF_MEMORY"]);
    expect((await own).tokens).toEqual(expectedTokens(model, promptOf(30, 3), 8));
    const again = await engine.generate(prompt, params);
    expect([again.tokens, again.usage.cachedTokens]).toEqual([expectedTokens(model, prompt, 8), 48]); // step 1's
    expectIdle(engine);
  });

  test("fails choices, scores and processors alike", async () => {
    const { engine, native, model } = create();
    native.failing = (step) => (step === 2 ? MEMORY : undefined);
    const calls = [
      engine.generate(promptOf(40), { ...on, n: 3 }),
      engine.generate(promptOf(3), { ...on, maxTokens: 9, logitsProcessor: (logits) => logits }),
      engine.score(promptOf(50, 2), { logits: true }),
    ];
    // The processor's row is in steps 1, 3, ...; the score was done in step 1.
    expect(await Promise.all(calls.map(codeOf))).toEqual(["OUT_OF_MEMORY", "none", "none"]);
    expect(await calls[1]).toMatchObject({ tokens: expectedTokens(model, promptOf(3), 9) });
    native.failing = (step) => (step === native.steps ? MEMORY : undefined);
    expect(await codeOf(engine.score(promptOf(50, 2)))).toBe("OUT_OF_MEMORY");
    expect(await codeOf(engine.generate([2], { logitsProcessor: (logits) => logits }))).toBe("OUT_OF_MEMORY");
    expectIdle(engine);
  });

  test("may come again and again: who asks again gets what is right", async () => {
    const { engine, native, model } = create({ options: { maxBatchTokens: 24, kvCacheBytes: 24 * 256, maxContext: 128 } });
    native.failing = (step) => (step % 13 === 0 || step % 17 === 1 ? MEMORY : undefined);
    const failures = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const prompt = promptOf(3 + ((i * 7) % 40), i % 4);
        const logitsProcessor = i % 5 === 4 ? (logits: Float32Array) => logits : undefined;
        const params = { ...on, maxTokens: 6, seed: i, temperature: i % 2, ...(logitsProcessor && { logitsProcessor }) };
        for (let failed = 0; ; failed++) {
          const end = await engine.generate(prompt, params).catch((error) => error);
          if (end.code === "OUT_OF_MEMORY" && failed < 50) continue;
          expect(end.tokens).toEqual(expectedTokens(model, prompt, 6, { seed: BigInt(i), temperature: i % 2 }));
          return failed;
        }
      }),
    );
    expect(failures.reduce((sum, failed) => sum + failed)).toBeGreaterThan(10);
    expectIdle(engine);
  });

  test("in a row, as often as it likes", async () => {
    const { engine, native, model } = create();
    native.failing = (step) => (step <= 7 ? MEMORY : undefined);
    let failed = 0;
    while (failed < 8 && (await codeOf(engine.generate([2], { ...on, maxTokens: 3 }))) === "OUT_OF_MEMORY") failed += 1;
    expect(failed).toBeGreaterThanOrEqual(4); // two steps under way
    expect(failed).toBeLessThan(8);
    expect((await engine.generate([2], { ...on, maxTokens: 9 })).tokens).toEqual(expectedTokens(model, [2], 9));
  });
});

describe("a step that fails for another reason", () => {
  test.each([1, 2, 5])("is survived once: step %i", async (failing) => {
    const { engine, native, model } = create();
    native.failing = (step) => (step === failing ? DEFECT : undefined);
    const call = engine.generate(promptOf(20), { ...on, maxTokens: 9 });
    await expect(call).rejects.toMatchObject({ code: "INTERNAL", message: DEFECT.message });
    expectIdle(engine);
    expect((await engine.generate(promptOf(20), { ...on, maxTokens: 9 })).tokens).toEqual(expectedTokens(model, promptOf(20), 9));
  });

  test("leaves those alone who were not in it", async () => {
    const { engine, native, model } = create();
    native.failing = (step) => (step === 2 ? DEFECT : undefined);
    const open = closeGate(native);
    const first = codeOf(engine.generate([2], on));
    await until(() => native.steps === 2);
    const other = engine.generate([3], { ...on, maxTokens: 9 }); // in step 3, with what the first goes on with
    open();
    expect(await first).toBe("INTERNAL");
    expect((await other).tokens).toEqual(expectedTokens(model, [3], 9));
  });

  test("twice in a row is the engine's end", async () => {
    const { engine, native } = create();
    native.failing = (step) => (step === 3 || step === 4 ? DEFECT : undefined);
    const calls = [engine.generate([2], on), engine.generate([3], { ...on, n: 2 })];
    for (const call of calls) await expect(call).rejects.toMatchObject({ code: "INTERNAL", message: DEFECT.message });
    await until(() => native.underWay === 0);
    const later = [engine.generate([2]), engine.stream([2]).next(), engine.score([2, 3]), engine.tokenize("a")];
    expect(await Promise.all(later.map(codeOf))).toEqual(["INTERNAL", "INTERNAL", "INTERNAL", "INTERNAL"]);
    expectIdle(engine);
  });

  test("again after a good step is survived again", async () => {
    const { engine, native, model } = create();
    native.failing = (step) => (step % 3 === 0 ? DEFECT : undefined);
    for (let i = 0; i < 5; i++) {
      expect(await codeOf(engine.generate([2, i + 3], { ...on, maxTokens: 9 }))).toBe("INTERNAL");
      expectIdle(engine);
    }
    native.failing = () => undefined;
    expect((await engine.generate([2], { ...on, maxTokens: 9 })).tokens).toEqual(expectedTokens(model, [2], 9));
  });

  test("and one for lack of memory between: neither counts for the other", async () => {
    const { engine, native, model } = create();
    native.failing = (step) => [undefined, DEFECT, MEMORY, DEFECT, MEMORY][step];
    for (let i = 0; i < 2; i++)
      expect(["INTERNAL", "OUT_OF_MEMORY"]).toContain(await codeOf(engine.generate([2], { ...on, maxTokens: 9 })));
    expect((await engine.generate([2], { ...on, maxTokens: 9 })).tokens).toEqual(expectedTokens(model, [2], 9));
  });
});
