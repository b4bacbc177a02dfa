import { expect, test } from "vitest";
import { collectGarbage } from "../../support/garbage.ts";
import { create, on, promptOf } from "./support.ts";

test("an engine keeps nothing of requests that have ended", async () => {
  const { engine } = create();
  // The prompt that the sequence has: what keeps one keeps the other.
  const score = async (seed: number): Promise<WeakRef<object>> => new WeakRef((await engine.score(promptOf(20, seed))).tokens);
  const running = [0, 1, 2].map((seed) => engine.generate(promptOf(10, seed), { ...on, maxTokens: 4 }));
  const ended = await Promise.all([1, 2, 3, 4].map(score));
  await Promise.all(running);
  await collectGarbage();
  expect(ended.map((reference) => reference.deref())).toEqual([undefined, undefined, undefined, undefined]);
});
