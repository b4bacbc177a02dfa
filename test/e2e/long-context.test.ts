import { expect, test } from "vitest";
import { temporaryDirectory } from "../support/temporary.ts";
import { held, NOTHING, withEngine } from "./support/engines.ts";
import { LLAMA, writeQuantizedModel } from "./support/random-models.ts";

const MIB = 2 ** 20;

test("a small file that says it was trained for 2^30 tokens: what the engine keeps grows with what is used", async () => {
  const { path } = await writeQuantizedModel(temporaryDirectory(), "long", {
    ...LLAMA,
    layers: 1,
    kvHeads: 1,
    headSize: 8,
    contextLength: 2 ** 30,
  });
  const before = process.memoryUsage();
  await withEngine(path, {}, async (engine) => {
    expect(engine.stats().maxContext).toBeGreaterThan(2 ** 20);
    const opened = process.memoryUsage();
    expect(opened.arrayBuffers - before.arrayBuffers).toBeLessThan(64 * MIB);
    expect(opened.heapUsed - before.heapUsed).toBeLessThan(64 * MIB);
    expect(opened.rss - before.rss).toBeLessThan(400 * MIB);
    const { tokens } = await engine.generate([1, 2, 3], { maxTokens: 40, ignoreEos: true });
    expect(tokens).toHaveLength(40);
    expect(held(engine)).toEqual(NOTHING);
  });
});
