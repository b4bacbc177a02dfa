import { join } from "node:path";
import { expect, test } from "vitest";
import { footprintOf, type Load } from "../../../lib/api/footprint.ts";
import { largestFitting } from "../../../lib/api/search.ts";
import { Engine } from "../../../lib/engine.ts";
import { openModel } from "../../../lib/model/open.ts";
import { native } from "../../../lib/native/addon.ts";
import { TINY, writeModel } from "../../support/models.ts";
import { checkedOptions } from "../../support/options.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const directory = temporaryDirectory();
const tales = await openModel("models/tales-q4_0.gguf");

test("weights and cache are those that the engine takes", async () => {
  const { weights, cache, workspace } = footprintOf(tales, { batch: 3, context: 200, kvType: "f16", maxBatchTokens: 512 });
  const engine = await Engine.open("tales", { device: "cpu", maxContext: 200, kvCacheBytes: cache });
  const stats = engine.stats();
  await engine.close();
  expect(stats).toMatchObject({ kvCacheBytes: cache, pagesTotal: 3 * 13, maxContext: 200 });
  expect(Math.abs(weights / stats.weightBytes - 1)).toBeLessThan(0.01);
  expect(workspace).toBeLessThan(20e6);
});

test.each([
  [1, 1],
  [1, 128],
  [3, 100],
  [40, 128],
])("the cache holds %i requests of %i tokens, windows' pages among them, and a byte less would not", async (batch, context) => {
  const path = join(directory, "gemma3");
  await writeModel(path, { ...TINY, architecture: "gemma3", layers: 6 });
  const source = await openModel(path);
  const load: Load = { batch, context, kvType: "f32", maxBatchTokens: 32 };
  const { cache } = footprintOf(source, load);
  const whole = Math.ceil(context / 16);
  const holds = (kvCacheBytes: number): boolean => {
    const { pages } = checkedOptions(
      { device: "cpu", maxContext: context, kvCacheBytes, kvType: "f32", maxBatchTokens: 32 },
      source,
      native(),
    );
    // A sequence has the pages of its window, of a step and of a part of one.
    const needs = source.spec.cacheGroups.map(({ kind, window }) => (kind === "all" ? whole : Math.min(whole, (window + 32) / 16 + 1)));
    return needs.every((need, g) => pages[g]! >= batch * need);
  };
  expect(holds(cache)).toBe(true);
  if (batch * whole > 1) expect(holds(cache - 1)).toBe(false);
});

test("the largest that fits", () => {
  for (const most of [0, 1, 7, 100]) {
    expect(largestFitting(100, (n) => n <= most)).toBe(most);
    expect(largestFitting(most, () => true)).toBe(most);
  }
});
