import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { copyOptions } from "../../../lib/api/options.ts";
import type { GenerateParams } from "../../../lib/api/params.ts";
import type { Engine } from "../../../lib/engine.ts";
import { fakeTokenizer } from "../../support/fake-engine.ts";
import { create, on, promptOf } from "./support.ts";

/** What callers pass is read once, when they call, and is told by what it is. */

/** An object that counts how often each of its parts, at any depth, is read. */
function counted<T extends object>(target: T, reads: Map<string, number>, path = "it"): T {
  return new Proxy(target, {
    get(object, key, receiver) {
      if (typeof key === "symbol") return Reflect.get(object, key, receiver);
      const name = `${path}.${key}`;
      reads.set(name, (reads.get(name) ?? 0) + 1);
      const value: unknown = Reflect.get(object, key, receiver);
      return typeof value === "object" && value !== null && !(value instanceof AbortSignal) ? counted(value, reads, name) : value;
    },
  });
}

const PARAMS: Required<GenerateParams> = {
  temperature: 0.5,
  topK: 5,
  topP: 0.9,
  minP: 0.01,
  typicalP: 0.9,
  repetitionPenalty: 1.1,
  presencePenalty: 0.1,
  frequencyPenalty: 0.1,
  logitBias: { 3: 1, 4: 2 },
  seed: 7,
  minTokens: 1,
  maxTokens: 4,
  ignoreEos: true,
  stop: ["xyz", "zyx"],
  stopTokens: [35, 36],
  n: 2,
  logprobs: 2,
  logitsProcessor: (logits) => logits,
  priority: 1,
  cacheSalt: "salt",
  parseSpecial: true,
  speculate: true,
  signal: new AbortController().signal,
};
const chatOf = () => ({
  messages: [
    { role: "user", content: "a" },
    { role: "assistant", content: "b", tool_calls: [{ function: { name: "c", arguments: { d: [1, 2] } } }] },
  ],
  tools: [{ type: "function", function: { name: "c" } }],
  templateVars: { e: { f: "g" } },
  addGenerationPrompt: true,
  continueFinalMessage: false,
  template: "default",
});

const drain = async (stream: AsyncIterable<unknown>): Promise<void> => {
  for await (const _ of stream);
};

type Call = (engine: Engine, watch: <T extends object>(target: T) => T) => Promise<unknown>;
const CALLS: Record<string, Call> = {
  "generate: ids and parameters": (engine, watch) => engine.generate(watch([4, 5, 6]), watch(PARAMS)),
  "generate: a conversation": (engine, watch) => engine.generate(watch(chatOf()), { maxTokens: 1 }),
  stream: (engine, watch) => drain(engine.stream(watch(chatOf()), watch(PARAMS))),
  tokenize: (engine, watch) => engine.tokenize("abc", watch({ addSpecial: false, parseSpecial: true })),
  detokenize: (engine, watch) => engine.detokenize(watch([4, 5, 6])),
  renderChat: (engine, watch) => engine.renderChat(watch(chatOf())),
  score: (engine, watch) => engine.score(watch([4, 5, 6]), watch({ logits: true, signal: PARAMS.signal })),
};

test.each(Object.entries(CALLS))("each part is read once: %s", async (_, call) => {
  const reads = new Map<string, number>();
  await call(create({ chat: true }).engine, (target) => counted(target, reads));
  expect(reads.size).toBeGreaterThan(1);
  expect([...reads].filter(([, count]) => count !== 1)).toEqual([]);
});

test("each option of open is read once, and none after the call", () => {
  const reads = new Map<string, number>();
  const options = { device: "cpu", threads: 1, maxContext: 64, speculate: { lookup: true, tokens: 2 }, onWarning: () => {} } as const;
  expect(copyOptions(counted(options, reads))).toEqual(options);
  expect([...reads.values()]).toEqual(Array.from({ length: 7 }, () => 1));
});

describe("what callers change when they have called changes nothing", () => {
  const params = { ...on, maxTokens: 8, stopTokens: [33], logitBias: { 9: 1 } };

  test.each(["generate", "stream"] as const)("%s", async (method) => {
    const { engine } = create({ tokenizer: fakeTokenizer(5), chat: true });
    const run = async (messages: { role: string; content: string }[], own: typeof params, change = () => {}): Promise<number[]> => {
      if (method === "generate") {
        const call = engine.generate({ messages }, own);
        change();
        return (await call).tokens;
      }
      const stream = engine.stream({ messages }, own);
      change();
      const tokens: number[] = [];
      for await (const chunk of stream) tokens.push(...chunk.tokens);
      return tokens;
    };
    const expected = await run([{ role: "user", content: "abc" }], params);
    const messages = [{ role: "user", content: "abc" }];
    const own = structuredClone(params);
    const tokens = await run(messages, own, () => {
      messages[0]!.content = "zzz";
      messages.push({ role: "user", content: "more" });
      Object.assign(own, { maxTokens: 1, nonsense: 1 });
      own.stopTokens.push(...expected);
      Object.assign(own.logitBias, { 8: 1000 });
    });
    expect(tokens).toEqual(expected);
  });

  test("ids", async () => {
    const { engine } = create();
    const expected = await engine.generate(promptOf(20), params);
    const ids = Int32Array.from(promptOf(20));
    const [call, stream] = [engine.generate(ids, params), engine.stream(ids, params)];
    ids.fill(5);
    expect((await call).tokens).toEqual(expected.tokens);
    const chunks: number[] = [];
    for await (const { tokens } of stream) chunks.push(...tokens);
    expect(chunks).toEqual(expected.tokens);
  });
});

describe("values of another realm", () => {
  const { engine } = create();
  const foreign = <T>(source: string): T => runInNewContext(source) as T;

  test("are taken for what they are", async () => {
    const { engine } = create();
    const expected = await engine.generate([4, 5], { ...on, maxTokens: 3, logitBias: { 9: 2 } });
    const ids = foreign<Int32Array>("Int32Array.of(4, 5)");
    for (const logitBias of [foreign<object>("({ 9: 2 })"), foreign<object>("new Map([[9, 2]])")]) {
      const given = foreign<GenerateParams>("({ ignoreEos: true, maxTokens: 3 })");
      expect((await engine.generate(ids, Object.assign(given, { logitBias }))).tokens).toEqual(expected.tokens);
    }
    const logitsProcessor = (logits: Float32Array): Float32Array => {
      const other = foreign<Float32ArrayConstructor>("Float32Array");
      return new other(logits);
    };
    expect((await engine.generate([4, 5], { ...on, maxTokens: 3, logitBias: { 9: 2 }, logitsProcessor })).tokens).toEqual(expected.tokens);
    expect(await engine.detokenize(foreign<number[]>("[4, 5]"))).toBe("cd");
  });

  test("so is a signal of another library", async () => {
    const { engine } = create();
    const listeners: (() => void)[] = [];
    const signal = {
      aborted: false,
      reason: undefined as unknown,
      [Symbol.toStringTag]: "AbortSignal",
      addEventListener: (_: string, listener: () => void) => void listeners.push(listener),
    };
    const calls = [1, 2].map(() => engine.generate([4, 5], { ...on, maxTokens: 200, signal: signal as never }));
    const ended = Promise.allSettled(calls);
    Object.assign(signal, { aborted: true, reason: "enough" });
    for (const listener of listeners) listener();
    expect(await ended).toMatchObject([{ reason: "enough" }, { reason: "enough" }]);
    expect(listeners).toHaveLength(1); // however many calls
    await expect(engine.generate([4], { signal: signal as never })).rejects.toBe("enough");
    await expect(engine.score([4], { signal: signal as never })).rejects.toBe("enough");
    const running = { ...signal, aborted: false };
    expect((await engine.score([4, 5], { signal: running as never })).logprobs).toHaveLength(2);
  });

  test.each<[string, unknown]>([
    ["a Map", new Map([["topK", 5]])],
    ["a Date", new Date()],
    ["an instance", new (class Settings {})()],
    ["an object that inherits", Object.create({ topK: 5 })],
    ["a function", () => {}],
    ["another realm's Map", foreign("new Map()")],
  ])("params that are %s are refused by name", async (_, params) => {
    await expect(engine.generate([4], params as GenerateParams)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(/^params is .*; expected a plain object$/),
    });
  });
});

test("an error of a getter, and a revoked proxy, are INVALID_ARGUMENT with their cause", async () => {
  const { engine } = create({ chat: true });
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const cause = new TypeError("mine");
  const throwing = {
    get topK(): number {
      throw cause;
    },
  };
  await expect(engine.generate([4], throwing)).rejects.toMatchObject({ code: "INVALID_ARGUMENT", cause, message: /params.*mine/ });
  const messages = [throwing] as never;
  await expect(engine.renderChat({ messages })).rejects.toMatchObject({ code: "INVALID_ARGUMENT", cause });
  const calls: Promise<unknown>[] = [
    engine.generate(proxy as never),
    engine.generate([4], proxy),
    engine.generate([4], { stop: proxy as never }),
    engine.generate([4], { signal: proxy as never }),
    engine.generate([4], { logitBias: proxy }),
    engine.score(proxy as never),
    engine.detokenize(proxy as never),
    engine.renderChat(proxy as never),
    engine.renderChat({ messages: proxy as never }),
  ];
  for (const { status, reason } of (await Promise.allSettled(calls)) as PromiseRejectedResult[])
    expect({ status, code: reason.code }).toEqual({ status: "rejected", code: "INVALID_ARGUMENT" });
});

test("names of a conversation's fields count among its characters", async () => {
  const { engine } = create({ chat: true });
  const long = { role: "user", content: "x", ["y".repeat(2 ** 22)]: 1 } as never;
  await expect(engine.renderChat({ messages: [long] })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
    message: expect.stringMatching(/^messages\[0\]\.y{80} is 1; expected no more than 4194304 characters in all$/),
  });
});
