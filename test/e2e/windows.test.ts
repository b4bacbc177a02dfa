import { join } from "node:path";
import { expect, test } from "vitest";
import type { EngineStats } from "../../lib/api/stats.ts";
import { type ModelShape, TINY, writeModel } from "../support/models.ts";
import { Random } from "../support/reference.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { held, NOTHING, openEngine } from "./support/engines.ts";

const CONTEXT = 8192;
const SHAPE: ModelShape = { ...TINY, architecture: "gemma3", layers: 6, window: 512, contextLength: CONTEXT };

/** Bytes of a cache in which every layer keeps `tokens` tokens. */
function fullBytes({ groups }: EngineStats, tokens: number): number {
  return groups.reduce((sum, { pageBytes }) => sum + (pageBytes * tokens) / 16, 0);
}

/** The largest of any number of values: more than a call takes arguments. */
const most = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);

test("five of six layers see 512 tokens: at 8k the cache holds at most 0.3 of a full one, at its peak, at its end and in its pools", async () => {
  const directory = join(temporaryDirectory(), "windows");
  await writeModel(directory, SHAPE);
  const engine = await openEngine(directory, { maxBatchTokens: 512 });
  const random = new Random(1);
  const prompt = Int32Array.from({ length: CONTEXT - 8 }, () => random.int(SHAPE.vocabSize));
  const [usedBytes, fullShares]: [number[], number[]] = [[], []];
  const note = (): void => {
    usedBytes.push(engine.stats().kvCacheUsedBytes);
    fullShares.push(engine.stats().groups.find(({ window }) => window === 0)!.used / (CONTEXT / 16));
  };
  let running = true;
  const watched = (async () => {
    for (; running; await new Promise((resolve) => setImmediate(resolve))) note();
  })();
  let atEnd = 0;
  // With the first token all pages of the prompt are there, and those of the tokens to come.
  for await (const _ of engine.stream(prompt, { ignoreEos: true })) {
    note();
    atEnd = Math.max(atEnd, fullShares.at(-1)!);
  }
  running = false;
  await watched;
  const stats = engine.stats();
  expect(stats.maxContext).toBe(CONTEXT);
  // The whole prompt was held by the layers that see all: the figures are of 8k tokens.
  expect(most(fullShares)).toBe(1);
  const full = fullBytes(stats, CONTEXT);
  expect(most(usedBytes) / full).toBeLessThanOrEqual(0.3);
  // At the end a window needs its 512 tokens alone: a sixth and 5/6 of a sixteenth, in whole pages.
  expect(usedBytes.filter((bytes) => bytes > 0).at(-1)! / full).toBeLessThanOrEqual(0.23);
  const capacity = stats.groups.find(({ window }) => window === 0)!.pages * 16;
  expect(stats.kvCacheBytes / fullBytes(stats, capacity)).toBeLessThanOrEqual(0.3);
  expect(held(engine)).toEqual(NOTHING);
});
