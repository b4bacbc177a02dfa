import { describe, expect, test, vi } from "vitest";
import type { GenerateParams } from "../../../lib/api/params.ts";
import { expectedTokens } from "../../support/fake-slot.ts";
import { codeOf, create, expectIdle, on, promptOf } from "./support.ts";

/** Requests whose tokens a logits processor chooses: they run in every second step, and cost nobody else a step. */

type Processor = NonNullable<GenerateParams["logitsProcessor"]>;

/** A processor that changes nothing and notes what it sees. */
function watching(): { process: Processor; seen: { tokens: number[]; promptLength: number; index: number }[] } {
  const seen: { tokens: number[]; promptLength: number; index: number }[] = [];
  const process: Processor = (_, { tokens, promptLength, index }) => {
    seen.push({ tokens: [...tokens], promptLength, index });
  };
  return { process, seen };
}

describe("beside other streams", () => {
  test("a token comes with every second step, and no stream waits for it", async () => {
    const { engine, native, model } = create();
    const prompts = [promptOf(3, 1), promptOf(5, 2)];
    const streams = prompts.map((prompt) => engine.generate(prompt, { ...on, maxTokens: 40 }));
    const steps: number[] = [];
    const logitsProcessor = (): void => void steps.push(native.steps);
    const processed = await engine.generate(promptOf(4), { ...on, maxTokens: 10, logitsProcessor });
    expect(processed.tokens).toEqual(expectedTokens(model, promptOf(4), 10));
    expect(steps).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20]); // the step after its own is under way
    for (const [i, { tokens }] of (await Promise.all(streams)).entries()) expect(tokens).toEqual(expectedTokens(model, prompts[i]!, 40));
    expect([native.steps, native.rows]).toEqual([40, 40 + 40 + 10]);
    expect(native.mostUnderWay).toBe(2);
    expectIdle(engine);
  });

  test("several processors share their steps", async () => {
    const { engine, native } = create();
    const stream = engine.generate(promptOf(3), { ...on, maxTokens: 40 });
    const calls = [1, 2, 3].map((seed) => engine.generate(promptOf(4, seed), { ...on, maxTokens: 10, logitsProcessor: () => {} }));
    await Promise.all([stream, ...calls]);
    expect([native.steps, native.rows]).toEqual([40, 40 + 3 * 10]);
  });

  test("alone, a token takes one step", async () => {
    const { engine, native, model } = create();
    const { tokens } = await engine.generate([4], { ...on, maxTokens: 10, logitsProcessor: () => {} });
    expect([tokens, native.steps, native.rows]).toEqual([expectedTokens(model, [4], 10), 10, 10]);
  });
});

describe("what the processor sees are all tokens so far", () => {
  /** Every call saw the prompt and all that was chosen before it. */
  function expectAll(seen: { tokens: number[] }[], prompt: number[], output: readonly number[]): void {
    expect(seen.map(({ tokens }) => tokens)).toEqual(output.map((_, i) => [...prompt, ...output.slice(0, i)]));
  }

  test("of a prompt in chunks, beside others", async () => {
    const { engine, model } = create({ options: { maxBatchTokens: 16 } });
    const { process, seen } = watching();
    const other = engine.generate([5], { ...on, maxTokens: 40 });
    const { tokens } = await engine.generate(promptOf(50), { ...on, maxTokens: 12, logitsProcessor: process });
    expect(tokens).toEqual(expectedTokens(model, promptOf(50), 12));
    expectAll(seen, promptOf(50), tokens);
    await other;
  });

  test("of each of n choices, by index", async () => {
    const { engine, model } = create();
    const { process, seen } = watching();
    const params = { ...on, n: 3, seed: 7, temperature: 1, maxTokens: 12 };
    const { choices } = await engine.generate(promptOf(20), { ...params, logitsProcessor: process });
    const plain = await engine.generate(promptOf(20), params);
    expect(choices.map(({ tokens }) => tokens)).toEqual(plain.choices.map(({ tokens }) => tokens));
    expect(choices[0]!.tokens).toEqual(expectedTokens(model, promptOf(20), 12, { seed: 7n, temperature: 1 }));
    for (const { tokens, index } of choices) expectAll(seen.filter((call) => call.index === index), promptOf(20), tokens); // biome-ignore format: a line
    expect(seen.every(({ promptLength }) => promptLength === 20)).toBe(true);
    expectIdle(engine);
  });

  test("after preemptions, and nobody else loses a token", async () => {
    const { engine, model } = create({ options: { kvCacheBytes: 30 * 256, maxContext: 128, maxBatchTokens: 32 } });
    const watched = Array.from({ length: 8 }, watching);
    const calls = watched.map(({ process }, i) => {
      const logitsProcessor = i % 2 === 0 ? process : undefined;
      return engine.generate(promptOf(20, i), { ...on, maxTokens: 60, ...(logitsProcessor && { logitsProcessor }) });
    });
    for (const [i, { tokens }] of (await Promise.all(calls)).entries()) {
      expect(tokens).toEqual(expectedTokens(model, promptOf(20, i), 60));
      if (i % 2 === 0) expectAll(watched[i]!.seen, promptOf(20, i), tokens);
    }
    expect(engine.stats().preemptions).toBeGreaterThan(0);
    expectIdle(engine);
  });
});

describe("a request that its own processor aborts", () => {
  test.each([1, 4])("ends at once with the signal's reason, with %i choices", async (n) => {
    const { engine, model, native } = create();
    const controller = new AbortController();
    const other = engine.generate([6], { ...on, maxTokens: 20 });
    const choose = vi.spyOn(native, "choose");
    let calls = 0;
    const logitsProcessor: Processor = () => {
      calls += 1;
      if (calls === 6) controller.abort("enough");
    };
    const call = engine.generate(promptOf(4), { ...on, n, logitsProcessor, signal: controller.signal });
    await expect(call).rejects.toBe("enough");
    expect([calls, choose.mock.calls.length]).toEqual([6, 5]); // nothing is chosen for a request that has ended
    expect((await other).tokens).toEqual(expectedTokens(model, [6], 20));
    expect(native.steps).toBe(20);
    expectIdle(engine);
    // Its slots and pages are another's now.
    expect((await engine.generate(promptOf(4), { ...on, maxTokens: 9, logitsProcessor: () => {} })).tokens).toEqual(
      expectedTokens(model, promptOf(4), 9),
    );
  });

  test("and one that is aborted while its choice is under way", async () => {
    const { engine, model, native } = create({ options: { maxBatchTokens: 8 } });
    for (let delay = 0; delay < 8; delay++) {
      const controller = new AbortController();
      const choose = native.choose.bind(native);
      native.choose = (...args) => {
        const chosen = choose(...args);
        setTimeout(() => controller.abort("late"), delay);
        return chosen;
      };
      const other = engine.generate([6, delay + 2], { ...on, maxTokens: 30, logitsProcessor: () => {} });
      const ends = await codeOf(engine.generate(promptOf(4), { ...on, logitsProcessor: () => {}, signal: controller.signal }));
      expect(ends).toBe("late");
      native.choose = choose;
      expect((await other).tokens).toEqual(expectedTokens(model, [6, delay + 2], 30));
      expectIdle(engine);
    }
  });
});

test("a processor may transfer its logits to a worker: nobody else's go with them", async () => {
  const { engine, model } = create();
  const logitsProcessor: Processor = (logits) => {
    const changed = logits.slice();
    structuredClone(logits, { transfer: [logits.buffer as ArrayBuffer] });
    return changed;
  };
  const calls = [logitsProcessor, () => {}].map((process, i) =>
    engine.generate(promptOf(4, i), { ...on, maxTokens: 9, logitsProcessor: process }),
  );
  const scored = await engine.score(promptOf(20), { logits: true });
  for (const [i, { tokens }] of (await Promise.all(calls)).entries()) expect(tokens).toEqual(expectedTokens(model, promptOf(4, i), 9));
  expect(scored).toEqual(await engine.score(promptOf(20), { logits: true }));
  expectIdle(engine);
});

test("a processor may change the tokens that it is given: nobody finds its pages by them", async () => {
  const { engine } = create();
  const given = promptOf(40);
  const other = [...given.slice(0, 32), ...Array.from({ length: 20 }, () => 5)];
  const expected = await create().engine.generate(other, { ...on, maxTokens: 9 });
  await engine.generate(given, { ...on, maxTokens: 20, logitsProcessor: (_, { tokens }) => void tokens.fill(5, 32) });
  const { tokens, usage } = await engine.generate(other, { ...on, maxTokens: 9 });
  expect([tokens, usage.cachedTokens]).toEqual([expected.tokens, 32]);
});

test("a stream that another's processor aborts in the step of its chunk is told so", async () => {
  const { engine } = create();
  const controller = new AbortController();
  const stream = engine.stream([6], { ...on, maxTokens: 20, priority: 1, signal: controller.signal }); // its row comes first
  const first = stream.next();
  const other = engine.generate([7], { ...on, maxTokens: 20, logitsProcessor: () => controller.abort("enough") });
  await expect(first).rejects.toBe("enough");
  expect((await other).tokens).toHaveLength(20);
  expectIdle(engine);
});

test("a choice that fails fails its request alone", async () => {
  const { engine, model, native } = create();
  const choose = native.choose.bind(native);
  let calls = 0;
  native.choose = (slot, logits, results) => choose(slot, ++calls === 3 ? logits.subarray(1) : logits, results);
  const other = engine.generate([6], { ...on, maxTokens: 20 });
  expect(await codeOf(engine.generate([7], { ...on, maxTokens: 20, logitsProcessor: () => {} }))).toBe("INVALID_ARGUMENT");
  expect((await other).tokens).toEqual(expectedTokens(model, [6], 20));
  expectIdle(engine);
  expect((await engine.generate([7], { ...on, maxTokens: 20, logitsProcessor: () => {} })).tokens).toEqual(expectedTokens(model, [7], 20));
});
