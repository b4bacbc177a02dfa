import { expect, test } from "vitest";
import { temporaryDirectory } from "../support/temporary.ts";
import { endure } from "./support/endurance.ts";
import { held, NOTHING, openEngine } from "./support/engines.ts";
import { cacheFor, GEMMA3, writeQuantizedModel } from "./support/random-models.ts";

const COUNT = 600;

const directory = temporaryDirectory();

test.each([
  ["plain", () => undefined],
  ["half of them guessing", (path: string) => ({ lookup: true, draft: path })],
])("600 requests, %s, 40 % of them ended in every state: pages and requests return to 0", async (_, guess) => {
  const { path } = await writeQuantizedModel(directory, "aborts", GEMMA3);
  const options = { kvType: "f16", maxBatchTokens: 32 } as const;
  const speculate = guess(path);
  const kvCacheBytes = cacheFor(GEMMA3, speculate === undefined ? 400 : 800, options);
  const engine = await openEngine(path, { ...options, kvCacheBytes, ...(speculate && { speculate }) }, { always: true });
  const { completed, aborted } = await endure(engine, COUNT, 3, GEMMA3.vocabSize);
  console.log(`completed ${completed}, ended ${JSON.stringify(aborted)}`);
  const ended = Object.values(aborted);
  const sum = ended.reduce((total, count) => total + count, 0);
  expect(completed + sum).toBe(COUNT);
  expect(Math.min(...ended)).toBeGreaterThan(0);
  expect(sum / COUNT).toBeGreaterThan(0.35);
  expect(held(engine)).toEqual(NOTHING);
  const { acceptedLength, preemptions, cacheHitRate } = engine.stats();
  expect([acceptedLength > 1, preemptions > 20, cacheHitRate > 0.1]).toEqual([speculate !== undefined, true, true]);
  // What is left is whole: a request still runs, alone.
  expect((await engine.generate([1, 2, 3], { maxTokens: 5, ignoreEos: true })).tokens).toHaveLength(5);
});
