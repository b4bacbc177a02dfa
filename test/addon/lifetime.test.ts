import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type NativeEngine, ROW_OUTPUT } from "../../lib/native/addon.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { runScript } from "./support/run.ts";
import { addon, longStep, results, SHAPE, slotConfig, stepBuffers, tinyConfig } from "./support/tiny.mjs";

const directory = temporaryDirectory();
const CLOSED = { code: "CLOSED" };

/** Runs a scenario in a child, which has to end with this exit code or signal; what it printed. */
async function ends(scenario: string, status: string, nodeOptions: string[] = []): Promise<string> {
  const ended = await runScript("lifetime.mjs", [directory, scenario], nodeOptions);
  expect(ended.status, ended.output).toBe(status);
  return ended.output;
}

describe("the process", () => {
  it.each(["exitUnloaded", "exitLoading", "exitInProgress", "exitStepping", "exitClosing"])("exits: %s", async (scenario) => {
    await ends(scenario, "7");
  });
  it("has stopped an engine's threads when its exit handlers run", async () => expect(await ends("exitStopped", "7")).toBe("CLOSED\n"));
  it("dies of an uncaught error during a step", async () => expect(await ends("throwStepping", "1")).toContain("uncaught"));
  it("dies of SIGTERM during a step", async () => {
    await ends("sigterm", "SIGTERM");
  });
  it("ends by itself with an idle engine, which nobody closed", async () => expect(await ends("idle", "0")).toContain("idle"));
  it("waits for a step that is under way", async () => expect(await ends("pending", "0")).toContain("settled"));
  it("survives workers that are terminated at any time", async () => expect(await ends("workers", "0")).toContain("survived"), 60_000);
});

describe("memory", () => {
  it("of an engine that nobody closed is collected, and its threads end", async () => {
    const { threads, grown } = JSON.parse(await ends("collected", "0", ["--expose-gc"])) as { threads: number; grown: number };
    expect(threads).toBeLessThan(40);
    expect(grown).toBeLessThan(100 << 20);
  });

  // A sanitizer's own memory leaves no room for a limit.
  it.skipIf(process.env.LD_PRELOAD !== undefined)("that a step lacks fails it alone, not the next that counts on its token", async () => {
    expect(JSON.parse(await ends("lacking", "0"))).toEqual(["OUT_OF_MEMORY", "none", true]);
  });

  it("of refused calls is given back", async () => {
    const { grown } = JSON.parse(await ends("refused", "0", ["--expose-gc"])) as { grown: number };
    expect(grown).toBeLessThan(1 << 20);
  });
});

describe("close", () => {
  let count = 0;
  const create = (): NativeEngine => new addon.Engine(tinyConfig(join(directory, `${++count}.bin`)));

  async function load(): Promise<NativeEngine> {
    const engine = create();
    await engine.load(() => {});
    for (const slot of [0, 1]) engine.setSlot(slot, slotConfig());
    return engine;
  }

  it("ends a load", async () => {
    // At each moment of the load; one that is through when close() is called resolves.
    const outcomes: unknown[] = [];
    for (let i = 0; i < 20; i++) {
      const engine = create();
      const loading = engine.load(() => {}).catch((error) => outcomes.push(error));
      if (i % 2 === 1) await new Promise(setImmediate);
      await Promise.all([engine.close(), loading]);
    }
    expect(outcomes.length).toBeGreaterThan(0);
    for (const error of outcomes) expect(error).toMatchObject(CLOSED);
  });

  it("ends the steps under way and settles everything in order", async () => {
    const engine = await load();
    const settled: string[] = [];
    const note = (name: string, promise: Promise<unknown>): Promise<unknown> =>
      promise.then(
        () => settled.push(name),
        (error) => settled.push(`${name} ${error.code}`),
      );
    const steps = Array.from({ length: 8 }, (_, i) => note(`step ${i}`, engine.step(longStep())));
    const choosing = note("choose", engine.choose(0, new Float32Array(SHAPE.vocab), results(1)));
    await Promise.all([...steps, choosing, note("close", engine.close())]);
    expect(settled.map((text) => text.replace(" CLOSED", ""))).toEqual([
      ...Array.from({ length: 8 }, (_, i) => `step ${i}`),
      "choose",
      "close",
    ]);
    expect(settled.slice(-3)).toEqual(["step 7 CLOSED", "choose CLOSED", "close"]);
  });

  it("may be called again, at any time, for the same end", async () => {
    const engine = await load();
    const step = engine.step(longStep()).catch(() => {});
    const [first, second] = [engine.close(), engine.close()];
    await Promise.all([first, second, step]);
    await expect(engine.close()).resolves.toBeUndefined();
  });

  it.each([0, 1])("refuses all that follows (waited for: %i)", async (waited) => {
    const engine = await load();
    const closing = engine.close();
    if (waited === 1) await closing;
    const step = stepBuffers([{ slot: 0, start: 0, tokens: [1], output: ROW_OUTPUT.sample }]);
    await expect(engine.step(step)).rejects.toMatchObject(CLOSED);
    await expect(engine.load(() => {})).rejects.toMatchObject(CLOSED);
    await expect(engine.choose(0, new Float32Array(SHAPE.vocab), results(1))).rejects.toMatchObject(CLOSED);
    expect(() => engine.setSlot(0, slotConfig())).toThrowError(expect.objectContaining(CLOSED));
    await closing;
  });

  it("of one engine leaves another alone", async () => {
    const [kept, closed] = [await load(), await load()];
    const steps = [kept.step(longStep(400)), closed.step(longStep(400)).catch(() => {}), closed.close()];
    await Promise.all(steps);
    const step = stepBuffers([{ slot: 1, start: 0, tokens: [1, 2], output: ROW_OUTPUT.sample }]);
    await kept.step(step);
    expect(step.sampled[0]).toBeGreaterThanOrEqual(0);
    await kept.close();
  });
});
