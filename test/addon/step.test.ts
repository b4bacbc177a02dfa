import { join } from "node:path";
import { expect, it } from "vitest";
import { createEngine } from "../../lib/engine.ts";
import type { NativeConfig, NativeEngine, StepBuffers } from "../../lib/native/addon.ts";
import { openParts } from "../../lib/run/parts.ts";
import { TINY, writeModel } from "../support/models.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { addon } from "./support/tiny.mjs";

const directory = temporaryDirectory();

it("crosses once per step, whatever the number of requests", async () => {
  const calls: string[] = [];
  class Counting extends addon.Engine {
    override step(buffers: StepBuffers): ReturnType<NativeEngine["step"]> {
      calls.push(`step of ${buffers.rowCount}`);
      return super.step(buffers);
    }
    override setSlot(...slot: Parameters<NativeEngine["setSlot"]>): void {
      calls.push("setSlot");
      super.setSlot(...slot);
    }
  }
  await writeModel(join(directory, "model"), TINY);
  const module = { ...addon, Engine: Counting as new (config: NativeConfig) => NativeEngine };
  const tiny = createEngine(await openParts(join(directory, "model"), { threads: 1 }, module));
  await Promise.all([5, 6, 7, 8].map((token) => tiny.generate([token], { maxTokens: 8, ignoreEos: true })));
  await tiny.close();
  expect(calls.filter((call) => call === "setSlot").length).toBe(4);
  expect(calls.filter((call) => call === "step of 4").length).toBeGreaterThanOrEqual(7);
  expect(calls.filter((call) => call.startsWith("step")).length).toBeLessThanOrEqual(10);
});
