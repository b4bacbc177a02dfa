import { describe, expect, test } from "vitest";
import type { Chunk } from "../../lib/api/completion.ts";
import type { GenerateParams } from "../../lib/api/params.ts";
import type { Engine } from "../../lib/engine.ts";
import { EOS, EURO, fakeTokenizer, ids, VOCAB } from "../support/fake-engine.ts";
import { fakeLogits, fakeLogprobs } from "../support/fake-model.ts";
import { expectedTokens } from "../support/fake-slot.ts";
import { create, expectIdle, on, until } from "./run/support.ts";

const collect = async (stream: AsyncIterable<Chunk>): Promise<Chunk[]> => {
  const chunks: Chunk[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
};
/** What follows the prompt, as a script of ids. */
const say = (prompt: number, tokens: readonly number[]) => (all: readonly number[]) => tokens[all.length - prompt] ?? EOS;

describe("generate", () => {
  test("ends at what the vocabulary ends with, too, where the model has it", async () => {
    const tokenizer = fakeTokenizer();
    const script = say(2, [...ids("ab"), 33, EOS]);
    const { engine } = create({ script, tokenizer: { ...tokenizer, vocabulary: { ...tokenizer.vocabulary, endTokens: [33, VOCAB] } } });
    expect(await engine.generate([2, 3])).toMatchObject({ text: "ab", finishReason: "stop", tokens: [...ids("ab"), 33] });
    expect(await engine.generate([2, 3], { minTokens: 1 })).toMatchObject({ finishReason: "stop" });
  });

  test("samples what the model says, two steps under way, one step a token", async () => {
    const { engine, native, model } = create();
    const prompt = [5, 6, 7];
    const { tokens, finishReason, usage, timings, choices, index } = await engine.generate(prompt, { ...on, maxTokens: 30 });
    expect(tokens).toEqual(expectedTokens(model, prompt, 30));
    expect({ finishReason, usage, index }).toEqual({
      finishReason: "length",
      usage: { promptTokens: 3, completionTokens: 30, cachedTokens: 0, totalTokens: 33, draftedTokens: 0, acceptedTokens: 0 },
      index: 0,
    });
    expect(choices).toHaveLength(1);
    expect(native.mostUnderWay).toBe(2);
    expect(native.steps).toBe(30);
    for (const value of Object.values(timings)) expect(value).toBeGreaterThanOrEqual(0);
    expect(timings.timeToFirstTokenMs).toBeLessThanOrEqual(timings.totalMs);
    expectIdle(engine);
  });

  test("many at once share steps, and each gets what it gets alone: chunked, cached, preempted", async () => {
    const { engine, native, model } = create({ options: { maxBatchTokens: 24, kvCacheBytes: 24 * 256, maxContext: 128 } });
    const prompts = Array.from({ length: 24 }, (_, i) => Array.from({ length: 3 + ((i * 7) % 30) }, (_, j) => 2 + (((i % 3) + j) % 20)));
    const all = await Promise.all(
      prompts.map((prompt, i) => engine.generate(prompt, { ...on, maxTokens: 50, seed: i, temperature: i % 2 })),
    );
    for (const [i, { tokens }] of all.entries()) {
      expect(tokens).toEqual(expectedTokens(model, prompts[i]!, 50, { seed: BigInt(i), temperature: i % 2 }));
    }
    const { preemptions, cacheHitRate, batchOccupancy } = engine.stats();
    expect(preemptions).toBeGreaterThan(0);
    expect(cacheHitRate).toBeGreaterThan(0);
    expect(batchOccupancy).toBeCloseTo(native.rows / native.steps);
    expect(batchOccupancy).toBeGreaterThan(2);
    expectIdle(engine);
  });

  test("ends at end tokens, stop tokens and the context, and says which", async () => {
    const script = say(2, [...ids("ab"), EOS, ...ids("cd"), 33, ...ids("ef")]);
    const { engine } = create({ script, contextLength: 32 });
    const prompt = [2, 3];
    expect(await engine.generate(prompt)).toMatchObject({ text: "ab", tokens: [...ids("ab"), EOS], finishReason: "stop" });
    expect(await engine.generate(prompt, { stopTokens: [33], ...on })).toMatchObject({
      text: "abcd",
      finishReason: "stop",
      usage: { completionTokens: 6 },
    });
    expect(await engine.generate(prompt, { maxTokens: 1 })).toMatchObject({ text: "a", finishReason: "length" });
    expect(await engine.generate(prompt, { ...on, maxTokens: 1e9 })).toMatchObject({ finishReason: "length", usage: { totalTokens: 32 } });
    const late = await engine.generate(prompt, { minTokens: 5 });
    expect(late.tokens).toEqual([...ids("ab"), late.tokens[2], ...ids("cd"), 33, ...ids("ef"), EOS]);
    expect(late.tokens[2]).not.toBe(EOS);
  });

  test("stop strings are cut from the text, tokens and usage keep them", async () => {
    const { engine } = create({ script: say(1, [...ids("hello wor"), ...EURO, ...ids("ld")]) });
    expect(await engine.generate([2], { stop: ["o w", "zzz"] })).toMatchObject({
      text: "hell",
      finishReason: "stop",
      usage: { completionTokens: 7 },
    });
    expect(await engine.generate([2], { stop: "r€" })).toMatchObject({
      text: "hello wo",
      finishReason: "stop",
      usage: { completionTokens: 12 },
    });
    expect(await engine.generate([2], { stop: "ldx" })).toMatchObject({ text: "hello wor€ld", finishReason: "stop" });
    expect(await engine.generate([2], { stop: "hell", minTokens: 5 })).toMatchObject({ text: "hello wor€ld" });
  });

  test("a stop string may begin before minTokens; it counts if it ends with that token or later", async () => {
    const { engine } = create({ script: say(1, [...ids("hello wor"), ...EURO, ...ids("ld")]) });
    for (const [minTokens, text] of [
      [6, "hell"],
      [7, "hell"],
      [8, "hello wor€ld"],
    ] as const)
      expect(await engine.generate([2], { stop: "o w", minTokens })).toMatchObject({ text, finishReason: "stop" });
    // The one that ended too early is text; the next may begin inside it.
    const again = create({ script: say(1, ids("ababab")) });
    expect(await again.engine.generate([2], { stop: "abab", minTokens: 5 })).toMatchObject({ text: "ab", usage: { completionTokens: 6 } });
    expect((await again.engine.generate([2], { stop: "abab", minTokens: 4 })).text).toBe("");
    const chunks = await collect(again.engine.stream([2], { stop: ["abab", "b"], minTokens: 6 }));
    expect(chunks.map(({ text }) => text).join("")).toBe("ab"); // of those that end together the longest
  });

  test("n choices: seeds of their own, the first the request's; the prompt is computed once", async () => {
    const { engine, model } = create();
    const prompt = Array.from({ length: 40 }, (_, i) => 2 + (i % 9));
    const { choices, tokens } = await engine.generate(prompt, { ...on, n: 4, seed: 5, temperature: 1, maxTokens: 8 });
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(tokens).toEqual(choices[0]!.tokens);
    expect(tokens).toEqual(expectedTokens(model, prompt, 8, { seed: 5n, temperature: 1 }));
    expect(new Set(choices.map((choice) => choice.tokens.join())).size).toBe(4);
    expect(choices.map(({ usage }) => usage.cachedTokens)).toEqual([0, 32, 32, 32]);
    expectIdle(engine);
  });

  test("logprobs are of the raw logits, with as many alternatives as asked", async () => {
    const { engine, model } = create();
    const { logprobs, tokens } = await engine.generate([4, 5], { ...on, logprobs: 3, maxTokens: 4, logitBias: { 9: 50 } });
    expect(tokens).toEqual([9, 9, 9, 9]);
    const raw = fakeLogprobs(fakeLogits(model, [4, 5, 9]));
    expect(logprobs![1]!.logprob).toBeCloseTo(raw[9]!, 5);
    expect(logprobs![1]!.top.map(({ logprob }) => logprob)).toEqual([...raw].sort((a, b) => b - a).slice(0, 3));
    expect((await engine.generate([4, 5], { logprobs: true, maxTokens: 1 })).logprobs![0]!.top).toEqual([]);
    expect(await engine.generate([4, 5], { maxTokens: 1 })).not.toHaveProperty("logprobs");
  });
});

describe("stream", () => {
  test("its chunks are the completion; the last of each choice has reason, usage and timings", async () => {
    const { engine } = create();
    const params = { ...on, n: 3, seed: 1, temperature: 1, maxTokens: 12, logprobs: 2 };
    const [chunks, { choices }] = [await collect(engine.stream("abc", params)), await engine.generate("abc", params)];
    for (const { index, text, tokens, finishReason, logprobs } of choices) {
      const own = chunks.filter((chunk) => chunk.index === index);
      expect(own.map((chunk) => chunk.text).join("")).toBe(text);
      expect(own.flatMap((chunk) => chunk.tokens)).toEqual(tokens);
      expect(own.flatMap((chunk) => chunk.logprobs)).toEqual(logprobs);
      expect(own.at(-1)).toMatchObject({ finishReason, usage: { completionTokens: 12 }, timings: {} });
      expect(own.slice(0, -1).every((chunk) => chunk.finishReason === undefined)).toBe(true);
      expect(own.length).toBeGreaterThan(6);
    }
  });

  test("never half a character; starts at the first next; a slow reader gets larger chunks", async () => {
    const { engine, native } = create({ script: say(1, [...EURO, ...ids("ab"), ...EURO]) });
    const stream = engine.stream([2]);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(native.steps).toBe(0);
    const first = await stream.next();
    expect(first.value).toMatchObject({ text: "", tokens: [EURO[0]] });
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect((await stream.next()).value).toMatchObject({ text: "€ab€", finishReason: "stop" });
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });

  test("leaving the loop ends the request, and so does return() while next() waits", async () => {
    const { engine, native } = create();
    for await (const _ of engine.stream("abc", on)) break;
    expectIdle(engine);
    await new Promise((resolve) => setTimeout(resolve, 5)); // steps under way end
    native.gate = new Promise(() => {});
    const stream = engine.stream("abc", on);
    const waiting = stream.next();
    await until(() => engine.stats().requestsRunning === 1);
    await stream.return!();
    expect(await waiting).toEqual({ done: true, value: undefined });
    expectIdle(engine);
  });

  test("errors come with next", async () => {
    const { engine } = create();
    const stream = engine.stream("abc", { n: 0 });
    await expect(stream.next()).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(await stream.next()).toEqual({ done: true, value: undefined });
  });
});

describe("a request ends with its signal's reason", () => {
  const reason = new Error("enough");
  const abortAfter = async (engine: Engine, when: (engine: Engine) => boolean, params: GenerateParams = {}) => {
    const controller = new AbortController();
    const request = engine.generate(
      Array.from({ length: 100 }, (_, i) => 2 + (i % 9)),
      { ...on, ...params, signal: controller.signal },
    );
    request.catch(() => {});
    while (!when(engine)) await new Promise((resolve) => setImmediate(resolve));
    controller.abort(reason);
    await expect(request).rejects.toBe(reason);
  };

  test("before it begins, and while its text is tokenized", async () => {
    const { engine, native } = create({ tokenizer: fakeTokenizer(20) });
    await expect(engine.generate("abc", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    const controller = new AbortController();
    const request = engine.generate("abc", { signal: controller.signal });
    controller.abort(reason);
    await expect(request).rejects.toBe(reason);
    await new Promise((resolve) => setTimeout(resolve, 30));
    expect(native.steps).toBe(0);
  });

  test("in prefill and in decode, and leaves others alone", async () => {
    const { engine, model, native } = create({ options: { maxBatchTokens: 16 } });
    const other = engine.generate([7, 8], { ...on, maxTokens: 60 });
    await abortAfter(engine, () => native.steps > 3);
    await abortAfter(engine, () => native.steps > 20, { n: 3 });
    expect((await other).tokens).toEqual(expectedTokens(model, [7, 8], 60));
    expectIdle(engine);
  });

  test("in the queue", async () => {
    const { engine, native } = create({ options: { kvCacheBytes: 10 * 256, maxContext: 128 } });
    const first = engine.generate(
      Array.from({ length: 100 }, () => 3),
      { ...on, maxTokens: 20 },
    );
    await abortAfter(engine, () => engine.stats().requestsWaiting === 1 && native.steps > 4);
    await first;
    expectIdle(engine);
  });

  test("200 requests aborted at random leave nothing behind", async () => {
    const { engine } = create({ options: { maxBatchTokens: 32, kvCacheBytes: 60 * 256, maxContext: 128 } });
    const ends = Array.from({ length: 200 }, async (_, i) => {
      const controller = new AbortController();
      const prompt = Array.from({ length: 1 + ((i * 13) % 70) }, (_, j) => 2 + ((i + j) % 20));
      const request = engine.generate(prompt, { ...on, maxTokens: 1 + (i % 17), n: 1 + (i % 3), signal: controller.signal });
      if (i % 5 < 2) setTimeout(() => controller.abort(reason), (i * 7) % 40);
      return request.then(
        () => "done",
        (error) => (error === reason ? "aborted" : Promise.reject(error)),
      );
    });
    const results = await Promise.all(ends);
    expect(results.filter((result) => result === "aborted").length).toBeGreaterThan(20);
    expectIdle(engine);
  });
});

describe("logits processor", () => {
  test("chooses what is sampled, sees prompt and output, and costs only its own request", async () => {
    const { engine, model, native } = create();
    const seen: number[][] = [];
    const processed = engine.generate([4, 5], {
      ...on,
      maxTokens: 6,
      logitsProcessor: (logits, { tokens, promptLength, index }) => {
        seen.push([...tokens, promptLength, index]);
        logits[10 + tokens.length] = 1000;
      },
    });
    const plain = engine.generate([6], { ...on, maxTokens: 40 });
    expect((await processed).tokens).toEqual([12, 13, 14, 15, 16, 17]);
    expect(seen[2]).toEqual([4, 5, 12, 13, 2, 0]);
    expect((await plain).tokens).toEqual(expectedTokens(model, [6], 40));
    expect(native.steps).toBeLessThan(45);
  });

  test("is computed again after a preemption, with the same tokens", async () => {
    const { engine, model } = create({ options: { kvCacheBytes: 30 * 256, maxContext: 128, maxBatchTokens: 32 } });
    const prompts = Array.from({ length: 8 }, (_, i) => Array.from({ length: 20 }, (_, j) => 2 + ((i * 5 + j) % 25)));
    const all = await Promise.all(
      prompts.map((prompt) => engine.generate(prompt, { ...on, maxTokens: 60, logitsProcessor: (logits) => logits })),
    );
    for (const [i, { tokens }] of all.entries()) expect(tokens).toEqual(expectedTokens(model, prompts[i]!, 60));
    expect(engine.stats().preemptions).toBeGreaterThan(0);
  });

  test.each<[string, GenerateParams["logitsProcessor"]]>([
    [
      "throws",
      () => {
        throw new TypeError("mine");
      },
    ],
    ["returns something else", (async () => {}) as never],
    ["returns the wrong length", () => new Float32Array(3)],
    ["bans every token", (logits) => logits.fill(Number.NEGATIVE_INFINITY)],
  ])("that %s fails its own request", async (what, logitsProcessor) => {
    const { engine, model } = create();
    const other = engine.generate([6], { ...on, maxTokens: 20 });
    const failed = await engine.generate([4], { logitsProcessor: logitsProcessor! }).catch((error) => error);
    expect(failed.code).toBe("PROCESSOR_FAILED");
    if (what === "throws") expect(failed.cause).toMatchObject({ message: "mine" });
    expect((await other).tokens).toEqual(expectedTokens(model, [6], 20));
    expectIdle(engine);
  });
});

describe("score", () => {
  test("is the log-probability of each token, and the logits, in chunks beside others", async () => {
    const { engine, model } = create({ options: { maxBatchTokens: 16 } });
    const tokens = Array.from({ length: 50 }, (_, i) => 2 + ((i * i) % 30));
    const [scores, other] = await Promise.all([engine.score(tokens, { logits: true }), engine.generate([5], { ...on, maxTokens: 10 })]);
    expect([...scores.tokens]).toEqual(tokens);
    expect(scores.logprobs[0]).toBeNaN();
    for (let t = 1; t < 50; t++) expect(scores.logprobs[t]).toBe(fakeLogprobs(fakeLogits(model, tokens.slice(0, t)))[tokens[t]!]);
    expect(scores.logits).toHaveLength(50 * VOCAB);
    expect(scores.logits!.subarray(49 * VOCAB)).toEqual(fakeLogits(model, tokens));
    expect(other.tokens).toEqual(expectedTokens(model, [5], 10));
    expect(await engine.score([5])).toEqual({ tokens: Int32Array.of(5), logprobs: Float32Array.of(Number.NaN) });
    await expect(engine.score([5], { signal: AbortSignal.abort("no") })).rejects.toBe("no");
    await expect(engine.score([])).rejects.toMatchObject({ code: "PROMPT_EMPTY" });
    await expect(engine.score(new Int32Array(257))).rejects.toMatchObject({ code: "PROMPT_TOO_LONG" });
    expectIdle(engine);
  });
});

test("stats say what the engine is and holds", async () => {
  const { engine, native } = create({ options: { maxContext: 128, kvType: "f32", threads: 2, maxBatchTokens: 16 } });
  native.gate = new Promise((resolve) => setTimeout(resolve, 10));
  const request = engine.generate(
    Array.from({ length: 40 }, () => 3),
    { ...on, maxTokens: 1, n: 2 },
  );
  while (engine.stats().requestsRunning === 0) await new Promise((resolve) => setImmediate(resolve));
  const { groups, ...stats } = engine.stats();
  expect(groups.map(({ window, pageBytes }) => [window, pageBytes])).toEqual([
    [0, 256],
    [24, 256],
  ]);
  expect(stats).toMatchObject({
    requestsRunning: 1,
    requestsWaiting: 0,
    weightBytes: 100,
    kvCacheBytes: 1000,
    contextLength: 256,
    maxContext: 128,
  });
  expect(stats).toMatchObject({
    device: "cpu",
    isa: "portable",
    compute: "f32",
    kvType: "f32",
    threads: 2,
    processor: "fake",
    preemptions: 0,
  });
  expect(stats.kvCacheUsedBytes).toBe(stats.pagesUsed * 256);
  expect(stats.pagesUsed).toBeGreaterThan(0);
  await request;
  expect(engine.stats().pagesCached).toBeGreaterThan(0);
});

describe("prompts", () => {
  test.each<[unknown, string]>([
    [[], "PROMPT_EMPTY"],
    [new Int32Array(256), "PROMPT_TOO_LONG"],
    [[VOCAB], "INVALID_ARGUMENT"],
    [[1.5], "INVALID_ARGUMENT"],
    [5, "INVALID_ARGUMENT"],
    [null, "INVALID_ARGUMENT"],
    [{ message: [] }, "INVALID_ARGUMENT"],
    [{ messages: [] }, "NO_CHAT_TEMPLATE"],
  ])("%j is %s", async (prompt, code) => {
    await expect(create().engine.generate(prompt as never)).rejects.toMatchObject({ code });
  });

  test("text, ids, messages; BOS alone is a prompt", async () => {
    const { engine, model } = create({ chat: true });
    const params = { ...on, maxTokens: 5 };
    expect((await engine.generate("ab", params)).tokens).toEqual(expectedTokens(model, [0, ...ids("ab")], 5));
    expect((await engine.generate("", params)).tokens).toEqual(expectedTokens(model, [0], 5));
    expect((await engine.generate({ messages: [{ role: "user", content: "ab" }] }, params)).tokens).toEqual(
      expectedTokens(model, ids("ab"), 5),
    );
    const chat = { messages: [{ role: "user", content: "ab" }] };
    expect(await engine.renderChat(chat)).toEqual({ text: "ab", tokens: Int32Array.from(ids("ab")) });
    await expect(engine.renderChat({ chats: [] } as never)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect([...(await engine.tokenize("ab"))]).toEqual([0, ...ids("ab")]);
    expect([...(await engine.tokenize("ab", { addSpecial: false }))]).toEqual(ids("ab"));
    expect(await engine.detokenize(ids("ab"))).toBe("ab");
    await expect(engine.tokenize(5 as never)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(engine.detokenize([VOCAB])).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  test("without a tokenizer, ids have no text, and text is NO_TOKENIZER", async () => {
    const { engine, model } = create({ tokenizer: null });
    expect(await engine.generate([5], { ...on, maxTokens: 3 })).toMatchObject({ text: "", tokens: expectedTokens(model, [5], 3) });
    const calls = [
      engine.generate("a"),
      engine.generate([5], { stop: "a" }),
      engine.tokenize("a"),
      engine.detokenize([1]),
      engine.score("a"),
      engine.renderChat({ messages: [{ role: "user", content: "a" }] }),
    ];
    for (const call of await Promise.allSettled(calls))
      expect(call).toMatchObject({ status: "rejected", reason: { code: "NO_TOKENIZER" } });
  });
});

describe("the engine's end", () => {
  test("close rejects all with CLOSED, waits, and can be called again", async () => {
    const { engine, native } = create();
    const running = [engine.generate([2], on), collect(engine.stream([3], on)), engine.score([2, 3])].map((call) =>
      call.catch((error) => error.code),
    );
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([engine.close(), engine.close()]);
    expect(native.underWay).toBe(0);
    expect(await Promise.all(running)).toEqual(["CLOSED", "CLOSED", "CLOSED"]);
    const later = [engine.generate("a"), engine.stream([2]).next(), engine.tokenize("a"), engine.score([1])].map((call) =>
      call.catch((error) => error.code),
    );
    expect(await Promise.all(later)).toEqual(["CLOSED", "CLOSED", "CLOSED", "CLOSED"]);
    expectIdle(engine);
  });

  test("a row of which every token is banned fails its own request", async () => {
    const { engine, model } = create();
    const banned = Object.fromEntries(Array.from({ length: VOCAB }, (_, id) => [id, Number.NEGATIVE_INFINITY]));
    const other = engine.generate([2], { ...on, maxTokens: 10 });
    await expect(engine.generate([3], { logitBias: banned })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect((await other).tokens).toEqual(expectedTokens(model, [2], 10));
  });

  test("a row whose logits are no numbers fails its own request, whatever it asks for", async () => {
    const { engine, model } = create({ broken: 9 });
    const other = engine.generate([2], { ...on, maxTokens: 10 });
    const damaged = { code: "FILE_INVALID", message: expect.stringContaining("NaN") };
    let asked = 0;
    const logitsProcessor = () => void asked++;
    await expect(engine.generate([3, 9])).rejects.toMatchObject(damaged);
    await expect(engine.generate([3, 9], { logitsProcessor })).rejects.toMatchObject(damaged);
    await expect(engine.score([3, 9, 4], { logits: true })).rejects.toMatchObject(damaged);
    expect(asked).toBe(0);
    expect((await other).tokens).toEqual(expectedTokens(model, [2], 10));
    expectIdle(engine);
  });

  test("what a processor leaves has to be numbers, or -Infinity", async () => {
    const { engine } = create();
    const leave = (value: number) => engine.generate([3], { maxTokens: 1, logitsProcessor: (logits) => void logits.fill(value, 4, 5) });
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY])
      await expect(leave(value)).rejects.toMatchObject({ code: "PROCESSOR_FAILED", message: expect.stringContaining("NaN or Infinity") });
    expect((await leave(Number.NEGATIVE_INFINITY)).tokens).toHaveLength(1);
    expectIdle(engine);
  });
});
