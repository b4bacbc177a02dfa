import { expect } from "vitest";
import type { Completion, TokenLogprob } from "../../../lib/api/completion.ts";
import type { EngineOptions } from "../../../lib/api/options.ts";
import type { GenerateParams } from "../../../lib/api/params.ts";
import type { Engine } from "../../../lib/engine.ts";
import type { SpeculationTrial } from "../../../lib/run/speculate.ts";
import { Random } from "../../support/reference.ts";
import { held, NOTHING, withEngine } from "./engines.ts";

/** A request whose completion must not depend on what else runs. */
export interface Request {
  prompt: Int32Array;
  params: GenerateParams;
}

/** What may not change: numbers compare by all their bits, since logprobs are float32 values. */
export interface Outcome {
  text?: string;
  tokens: number[];
  logprobs: TokenLogprob[];
  finishReason: string;
}

/** Greedy and seeded requests of many lengths; every other one shares a beginning with others. */
export function randomRequests(count: number, vocabSize: number, longest: number, seed: number): Request[] {
  const random = new Random(seed);
  const shared = tokensOf(random, longest, vocabSize);
  return Array.from({ length: count }, (_, i) => {
    const prompt = tokensOf(random, 1 + random.int(longest), vocabSize);
    if (i % 2 === 1) prompt.set(shared.subarray(0, Math.floor(prompt.length * random.uniform())));
    return { prompt, params: randomParams(random) };
  });
}

function tokensOf(random: Random, count: number, vocabSize: number): Int32Array {
  return Int32Array.from({ length: count }, () => random.int(vocabSize));
}

function randomParams(random: Random): GenerateParams {
  const common = { maxTokens: 4 + random.int(50), ignoreEos: random.int(4) > 0, logprobs: 2 };
  if (random.int(2) === 0) return { ...common, temperature: 0 };
  const pick = <T>(values: readonly T[]): T => values[random.int(values.length)]!;
  return {
    ...common,
    seed: random.int(2 ** 31),
    temperature: pick([0.7, 1, 3]),
    topK: pick([0, 0, 20]),
    topP: pick([1, 0.9]),
    minP: pick([0, 0, 0.02]),
    typicalP: pick([1, 1, 0.9]),
    repetitionPenalty: pick([1, 1.2]),
    presencePenalty: pick([0, 0.5]),
    frequencyPenalty: pick([0, 0.3]),
    minTokens: pick([0, 3]),
  };
}

/** All at once. */
export function together(engine: Engine, requests: readonly Request[]): Promise<Outcome[]> {
  return Promise.all(requests.map(async ({ prompt, params }) => wholeOf(await engine.generate(prompt, params))));
}

/** One after the other. */
export async function inTurn(engine: Engine, requests: readonly Request[]): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const { prompt, params } of requests) outcomes.push(wholeOf(await engine.generate(prompt, params)));
  return outcomes;
}

/** All choices as one. */
export function wholeOf({ choices }: Completion): Outcome {
  return {
    text: choices.map(({ text }) => text).join("\n"),
    tokens: choices.flatMap(({ tokens }) => tokens),
    logprobs: choices.flatMap(({ logprobs }) => logprobs!),
    finishReason: choices.map(({ finishReason }) => finishReason).join(),
  };
}

export function outcomeOf({ tokens, logprobs, finishReason }: Pick<Completion, "tokens" | "logprobs" | "finishReason">): Outcome {
  return { tokens, logprobs: logprobs!, finishReason };
}

/** Arithmetics, each with a cache type of its own. */
export const ARITHMETICS: readonly EngineOptions[] = [
  { compute: "f32", kvType: "f32" },
  { compute: "bf16", kvType: "bf16" },
  { compute: "int8", kvType: "f16" },
];

/** The ways in which a request may be run beside alone, and what shows that it was run so. */
const WAYS: { name: string; options: EngineOptions; run: (engine: Engine, requests: Request[]) => Promise<Outcome[]> }[] = [
  { name: "batched with 31 others, 2 threads", options: { threads: 2, prefixCache: false }, run: together },
  { name: "2 threads", options: { threads: 2, prefixCache: false }, run: inTurn },
  { name: "chunked at 7 tokens", options: { maxBatchTokens: 7, prefixCache: false }, run: together },
  { name: "preempted", options: { maxBatchTokens: 64 }, run: preempted },
  { name: "from the prefix cache", options: { prefixCache: true }, run: cached },
];

async function preempted(engine: Engine, requests: Request[]): Promise<Outcome[]> {
  const outcomes = await together(engine, requests);
  expect(engine.stats().preemptions).toBeGreaterThan(0);
  return outcomes;
}

async function cached(engine: Engine, requests: Request[]): Promise<Outcome[]> {
  const first = await inTurn(engine, requests);
  const hits = engine.stats().cacheHitRate;
  expect(await inTurn(engine, requests)).toEqual(first);
  expect(engine.stats().cacheHitRate).toBeGreaterThan(hits);
  return first;
}

/**
 * Compares all ways with alone, and returns that. Outcomes of one engine are compared, never of two instruction sets. `smallCache`: bytes
 * that are too few for many at once.
 */
export async function expectSame(model: string, requests: Request[], smallCache: number, options: EngineOptions): Promise<Outcome[]> {
  const alone = await runAlone(model, requests, options);
  await expectSameAs(alone, model, requests, smallCache, options);
  return alone;
}

/** What the requests get one by one, on one thread, without a prefix cache and without guesses. */
export async function runAlone(model: string, requests: Request[], options: EngineOptions): Promise<Outcome[]> {
  const alone = await withEngine(model, { ...options, threads: 1, prefixCache: false }, (engine) => inTurn(engine, requests));
  expect(new Set(alone.map(({ tokens }) => tokens.join())).size).toBeGreaterThan(requests.length / 2);
  return alone;
}

/** Compares all ways with what the requests get `alone`; `seen` is told of each engine when all is done. */
export async function expectSameAs(
  alone: Outcome[],
  model: string,
  requests: Request[],
  smallCache: number,
  options: EngineOptions,
  trial?: SpeculationTrial,
  seen: (engine: Engine, way: string) => void = () => {},
): Promise<void> {
  for (const way of WAYS) {
    const kvCacheBytes = way.run === preempted ? { kvCacheBytes: smallCache } : {};
    const work = async (engine: Engine): Promise<void> => {
      expect({ way: way.name, outcomes: await way.run(engine, requests) }).toEqual({ way: way.name, outcomes: alone });
      expect(held(engine)).toEqual(NOTHING);
      seen(engine, way.name);
    };
    await withEngine(model, { ...options, ...way.options, ...kvCacheBytes }, work, trial);
  }
}
