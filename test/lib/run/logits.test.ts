import { afterAll, beforeAll, expect, test } from "vitest";
import { Engine } from "../../../lib/engine.ts";
import { TINY, writeModel } from "../../support/models.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { expectIdle } from "./support.ts";

/** A vocabulary so large that a step gives logits of 16 tokens: requests take turns. */

const directory = temporaryDirectory();
let engine: Engine;

beforeAll(async () => {
  await writeModel(directory, { ...TINY, vocabSize: 2 ** 18 });
  engine = await Engine.open(directory, { threads: 1, kvCacheBytes: 2 ** 20 });
});
afterAll(() => engine.close());

test("40 processors get their tokens side by side, and a score with logits among them", async () => {
  const counts = new Array<number>(40).fill(0);
  let furthest = 0;
  const calls = counts.map((_, i) => {
    const logitsProcessor = (): void => {
      counts[i]! += 1;
      furthest = Math.max(furthest, Math.max(...counts) - Math.min(...counts));
    };
    return engine.generate([3, 4 + i], { maxTokens: 6, ignoreEos: true, logitsProcessor });
  });
  const { logits } = await engine.score([5, 6, 7, 8], { logits: true });
  expect(Math.max(...counts)).toBeLessThan(6);
  await Promise.all(calls);
  expect([counts.every((count) => count === 6), furthest < 4, logits!.length]).toEqual([true, true, 4 * 2 ** 18]);
  expectIdle(engine);
});
