import { afterAll, beforeAll, expect, test } from "vitest";
import type { GenerateParams } from "../../../lib/api/params.ts";
import type { Engine, Prompt } from "../../../lib/engine.ts";
import { TINY, writeModel } from "../../support/models.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { open } from "../support/engines.ts";
import { leastLongestTurn } from "../support/turns.ts";

/** The longest turn of the event loop of hostile calls: `npm run test:loop`. */

/** Milliseconds of the longest turn that is allowed, and of long prompts alone. */
const ALLOWED = 50;
const ALLOWED_FOR_PROMPTS = 10;

const directory = temporaryDirectory();
/** A tiny model with the vocabulary and context of large ones, and one with a tokenizer and a template. */
let wide: Engine;
let tales: Engine;

const SHAPE = { ...TINY, vocabSize: 2 ** 17, contextLength: 2 ** 17, layers: 1 };

beforeAll(async () => {
  await writeModel(directory, SHAPE);
  wide = await open(directory, { kvCacheBytes: 2 ** 28, device: "cpu" });
  tales = await open("tales", { device: "cpu" });
});
afterAll(() => Promise.all([wide.close(), tales.close()]));

const ids = (count: number): number[] => Array.from({ length: count }, (_, i) => 3 + (i % 1000));
const text = (length: number): string => "x".repeat(length);
/** Made before anything is measured, and flat: V8 would have to join the parts of a repeated string. */
const HUGE = Buffer.alloc(100_000_000, "x").toString("latin1");
const LONG = Buffer.alloc(2 ** 22, "x").toString("latin1");
const MESSAGE = Buffer.alloc(2 ** 22 - 100, "x").toString("latin1"); // names of fields count, too
const PROMPT = ids(131_000);
const MILLIONS = [new Int32Array(1e7), new Array<number>(1e7).fill(1)];
const STOP_TOKENS = ids(1e6);
const STOPS = Array.from({ length: 256 }, (_, i) => `${i}${text(250)}`);
const BIASES = Object.fromEntries(Array.from({ length: 2 ** 17 }, (_, i) => [i, 1]));
const BIAS_MAP = new Map(Array.from({ length: 2 ** 15 }, (_, i) => [i, 1]));
const TOKENS = new Int32Array(2 ** 22).fill(500);
const MESSAGES = Array.from({ length: 1000 }, () => ({ role: "user", content: "Hi" }));
const later = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Requests that end with the signal or when they are through; how doesn't matter here. */
async function ending(calls: Promise<unknown>[]): Promise<void> {
  await Promise.allSettled(calls);
}

/** A request that runs for a while and is aborted. */
async function runAndAbort(engine: Engine, prompt: Prompt, params: GenerateParams, ms = 500): Promise<void> {
  await ending([engine.generate(prompt, { ...params, signal: AbortSignal.timeout(ms) })]);
}

/** Calls, some in each turn. */
async function calls(count: number, call: (i: number) => Promise<unknown>): Promise<Promise<unknown>[]> {
  const made: Promise<unknown>[] = [];
  for (let i = 0; i < count; i++) {
    made.push(call(i).catch(() => {}));
    if (i % 500 === 499) await later(0);
  }
  return made;
}

async function abortNewestFirst(count: number): Promise<void> {
  const controllers = Array.from({ length: count }, () => new AbortController());
  const made = await calls(count, (i) => wide.generate([1, 2], { signal: controllers[i]!.signal, ignoreEos: true }));
  await later(10);
  for (const controller of controllers.reverse()) controller.abort("enough"); // a reason of V8's own costs more than all else
  await ending(made);
}

async function closeWith(count: number, prompt: Prompt): Promise<void> {
  const engine = await open(typeof prompt === "string" ? "tales" : directory, { kvCacheBytes: 2 ** 24, device: "cpu" });
  const made = await calls(count, () => engine.generate(prompt, { ignoreEos: true }));
  await engine.close();
  await ending(made);
}

async function longArguments(): Promise<void> {
  for (const name of ["temperature", "stop", "cacheSalt", "seed", "logprobs", "signal"]) {
    await ending([tales.generate("Once", { [name]: HUGE })]);
    await ending([tales.generate("Once", { [name]: [HUGE] } as GenerateParams)]);
  }
  await ending([tales.generate(HUGE)]);
  await ending([tales.tokenize(HUGE)]);
  await ending([tales.renderChat({ messages: [{ role: HUGE, content: HUGE }] })]);
  await ending([tales.renderChat({ messages: [], template: HUGE })]);
  await ending([open(HUGE, {})]);
  await ending([open("tales", { device: HUGE as "cpu" })]);
}

const PROMPTS: Record<string, () => Promise<unknown>> = {
  "a prompt of 131,000 ids": () => runAndAbort(wide, PROMPT, {}),
  "128 choices of 131,000 ids": () => runAndAbort(wide, PROMPT, { n: 128, ignoreEos: true }, 3000),
  "a typed array of 131,000 ids": () => runAndAbort(wide, Int32Array.from(PROMPT), { n: 128 }),
};

const CASES: Record<string, () => Promise<unknown>> = {
  "prompts of 10^7 ids": () => ending(MILLIONS.map((prompt) => wide.generate(prompt))),
  "128 choices of 32,000 ids": () => runAndAbort(wide, PROMPT.slice(0, 32_000), { n: 128, ignoreEos: true }, 3000),
  "3,000 calls in one turn": () => ending(Array.from({ length: 3000 }, () => wide.generate([1, 2], { maxTokens: 1 }))),
  "3,000 calls with a text in one turn": () => ending(Array.from({ length: 3000 }, () => tales.generate("Once", { maxTokens: 1 }))),
  "5,000 requests aborted newest first": () => abortNewestFirst(5000),
  "closing 20,000 requests": () => closeWith(20_000, [1, 2]),
  "closing 20,000 requests of a text": () => closeWith(20_000, "Once upon a time"),
  "a stop string of 4 M characters": () => ending([tales.generate("Once", { stop: LONG, n: 128 })]),
  "256 stop strings of 250 characters, 128 choices": () => runAndAbort(tales, "Once", { stop: STOPS, n: 128 }),
  "10^6 stop tokens": () => ending([wide.generate([1], { stopTokens: STOP_TOKENS, n: 128 })]),
  "16,384 stop tokens, 128 choices": () => runAndAbort(wide, [1], { stopTokens: STOP_TOKENS.slice(0, 16_384), n: 128 }),
  "32,768 biases, 128 choices": () => runAndAbort(wide, [1], { logitBias: BIAS_MAP, n: 128 }),
  "131,072 biases": () => runAndAbort(wide, [1], { logitBias: BIASES }),
  "logits of 1,000 tokens": () => ending([wide.score(PROMPT.slice(0, 1000), { logits: true })]),
  "64 processors": () =>
    ending(Array.from({ length: 64 }, () => wide.generate([1, 2], { logitsProcessor: () => {}, maxTokens: 4, ignoreEos: true }))),
  "detokenizing 4 M ids": () => ending([tales.detokenize(TOKENS)]),
  "tokenizing 4 M characters": () => ending([tales.tokenize(LONG)]),
  "a chat of 4 M characters": () => ending([tales.renderChat({ messages: [{ role: "user", content: MESSAGE }] })]),
  "1,000 messages": () => ending([tales.renderChat({ messages: MESSAGES })]),
  "arguments of 100 MB": longArguments,
  "opening a model": async () => (await open("tales", { device: "cpu" })).close(),
};

async function check(name: string, work: () => Promise<unknown>, allowed: number): Promise<void> {
  const longest = await leastLongestTurn(work, allowed);
  console.info(`${longest.toFixed(1).padStart(7)} ms  ${name}`);
  expect(longest).toBeLessThanOrEqual(allowed);
}

test.each(Object.entries(PROMPTS))("%s", (name, work) => check(name, work, ALLOWED_FOR_PROMPTS));
test.each(Object.entries(CASES))("%s", (name, work) => check(name, work, ALLOWED));
