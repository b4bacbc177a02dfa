import { expect, test } from "vitest";
import { collectGarbage } from "../../support/garbage.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { endure, type Tally } from "../support/endurance.ts";
import { held, NOTHING, openEngine } from "../support/engines.ts";
import { cacheFor, GEMMA3, writeQuantizedModel } from "../support/random-models.ts";

const ROUNDS = 10;
const ROUND = 1000;

test("10,000 requests, 40 % of them ended in every state: pages and requests return to 0, memory stays within 5 % after the first 1,000", async () => {
  const { path } = await writeQuantizedModel(temporaryDirectory(), "endurance", GEMMA3);
  const options = { kvType: "f16", maxBatchTokens: 32, speculate: { lookup: true } } as const;
  const engine = await openEngine(path, { ...options, kvCacheBytes: cacheFor(GEMMA3, 400, options) }, { always: true });
  const [resident, used, tallies]: [number[], number[], Tally[]] = [[], [], []];
  for (let round = 0; round < ROUNDS; round++) {
    tallies.push(await endure(engine, ROUND, round, GEMMA3.vocabSize));
    await collectGarbage();
    resident.push(process.memoryUsage().rss);
    used.push(process.memoryUsage().heapUsed);
  }
  const mebibytes = (bytes: number[]): string => bytes.map((count) => (count / 2 ** 20).toFixed(0)).join();
  console.log(`${JSON.stringify(tallies)}; MiB resident ${mebibytes(resident)}, of the heap used ${mebibytes(used)}`);
  for (const { completed, aborted } of tallies) {
    const ended = Object.values(aborted);
    expect(completed + ended.reduce((sum, count) => sum + count, 0)).toBe(ROUND);
    expect(Math.min(...ended)).toBeGreaterThan(0);
  }
  expect(held(engine)).toEqual(NOTHING);
  const { preemptions, cacheHitRate, acceptedLength } = engine.stats();
  expect([preemptions > 500, cacheHitRate > 0.1, acceptedLength >= 1]).toEqual([true, true, true]);
  expect(used.at(-1)! / used[0]!).toBeLessThan(1.05);
  // What V8 keeps for its next objects differs by 10 % from round to round.
  expect(median(resident.slice(-3)) / median(resident.slice(0, 3))).toBeLessThan(1.05);
});

function median(values: number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
}
