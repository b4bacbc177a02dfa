import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import type { Completion } from "../../lib/api/completion.ts";
import type { EngineOptions } from "../../lib/api/options.ts";
import type { GenerateParams } from "../../lib/api/params.ts";
import type { Engine } from "../../lib/engine.ts";
import type { AttentionSpec } from "../../lib/model/mixers/attention.ts";
import type { ModelSpec } from "../../lib/model/spec.ts";
import type { NativeConfig } from "../../lib/native/addon.ts";
import type { SpeculationTrial } from "../../lib/run/speculate.ts";
import { runScript } from "../addon/support/run.ts";
import { tinyConfig } from "../addon/support/tiny.mjs";
import { deviceAddon, testAddon } from "../support/addon.ts";
import { Random } from "../support/reference.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { held, NOTHING, open } from "./support/engines.ts";
import { cacheFor, GEMMA3, LLAMA, writeQuantizedModel } from "./support/random-models.ts";
import { inTurn, outcomeOf, randomRequests, together, wholeOf } from "./support/same.ts";

/** What only a device does: results that come later, and failures in the middle of a step. `npm run test:device` runs all suites on it. */

const directory = temporaryDirectory();
let model: string;
beforeAll(async () => {
  model = (await writeQuantizedModel(directory, "gemma3", GEMMA3)).path;
});

async function onDevice(options: EngineOptions, work: (engine: Engine) => Promise<void>, trial?: SpeculationTrial): Promise<void> {
  const engine = await open(model, options, deviceAddon, trial);
  try {
    await work(engine);
  } finally {
    await engine.close();
  }
}

const GREEDY: GenerateParams = { temperature: 0, ignoreEos: true, maxTokens: 12, logprobs: 2 };
const random = new Random(11);
const prompt = (length: number): number[] => Array.from({ length }, () => random.int(LLAMA.vocabSize));
const bits = (completion: Completion) => completion.choices.map(outcomeOf);

test("the host cannot read a device's memory: a process that tries ends", async () => {
  const { status } = await runScript("dereference.mjs", []);
  expect(status).toBe("SIGSEGV");
});

test.each(["slots", "loads"])("an engine may end while its device has work: %s", async (scenario) => {
  expect(await runScript("device-lifetime.mjs", [directory, scenario])).toMatchObject({ status: "0", output: "" });
});

test("its results are the CPU's, to the bit, also where steps are recorded and played back", async () => {
  const requests = randomRequests(24, GEMMA3.vocabSize, 60, 5);
  const cpu = await open(model, { prefixCache: false }, testAddon);
  const expected = await inTurn(cpu, requests);
  await cpu.close();
  await onDevice({ maxBatchTokens: 80 }, async (engine) => {
    expect(engine.stats().processor).toMatch(/device-like/);
    expect(await together(engine, requests)).toEqual(expected);
    expect(await together(engine, requests)).toEqual(expected);
  });
});

test("a step's forward pass is recorded once for its tokens, however many outputs it has", async () => {
  await onDevice({ prefixCache: false }, async (engine) => {
    await engine.generate(prompt(20), { ...GREEDY, maxTokens: 1 });
    const before = testAddon.recordings();
    await engine.score(prompt(20), {});
    expect(testAddon.recordings() - before).toBe(32 / 8); // the pieces of its logits
  });
});

test("a model beyond what its kernels take is refused before it is loaded", () => {
  const path = join(directory, "weights.bin");
  const { spec, ...config } = tinyConfig(path) as NativeConfig;
  const { mixer, ...layer } = spec.layers[0]!;
  const make = (change: Partial<ModelSpec>) => () => new deviceAddon.Engine({ ...config, spec: { ...spec, ...change } });
  const withMixer = (change: Partial<AttentionSpec>) => make({ layers: spec.layers.with(0, { ...layer, mixer: { ...mixer, ...change } }) });
  const refusal = (message: string) => expect.objectContaining({ code: "UNSUPPORTED_MODEL", message: expect.stringContaining(message) });
  expect(make({ hiddenSize: 8193 })).toThrow(refusal("hiddenSize is 8193; expected at most 8192"));
  expect(withMixer({ headSize: 513 })).toThrow(refusal("layer 0: headSize is 513; expected at most 512"));
  expect(withMixer({ headSize: 512, queryHeads: 17, qkNorm: "row" })).toThrow(refusal("layer 0: 17 heads of 512"));
  expect(withMixer({ headSize: 512, queryHeads: 17 })).not.toThrow();
});

test("close() ends what runs; every request is told", async () => {
  const engine = await open(model, {}, deviceAddon);
  const running = Array.from({ length: 8 }, () => engine.generate(prompt(30), { ...GREEDY, maxTokens: 100 }).catch((error) => error.code));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await engine.close();
  expect(new Set(await Promise.all(running))).toEqual(new Set(["CLOSED"]));
});

describe("a step that fails for lack of memory", () => {
  test("ends its requests alone; then the engine gives what a fresh one gives", async () => {
    const kept = prompt(50);
    let fresh: unknown;
    await onDevice({}, async (engine) => {
      fresh = bits(await engine.generate(kept, GREEDY));
    });
    await onDevice({}, async (engine) => {
      for (let n = 1; n < 200; n += 13) {
        testAddon.failOp(n, "OUT_OF_MEMORY");
        const outcomes = await Promise.allSettled([engine.generate(kept, GREEDY), engine.generate(prompt(20), GREEDY)]);
        for (const outcome of outcomes) if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "OUT_OF_MEMORY" });
        expect(outcomes.some(({ status }) => status === "rejected")).toBe(true);
        expect(held(engine)).toEqual(NOTHING);
        expect(bits(await engine.generate(kept, GREEDY))).toEqual(fresh);
      }
    });
  });

  // Its forward pass is recorded all the same, and played back for steps of other outputs.
  test("may be the first of its size, and fail before its forward pass", async () => {
    const work = async (engine: Engine): Promise<void> => {
      testAddon.failOp(60, "OUT_OF_MEMORY"); // the draft model's, before the first step with guesses
      await expect(engine.generate(prompt(4), GREEDY)).rejects.toMatchObject({ code: "OUT_OF_MEMORY" });
      expect((await engine.generate(prompt(5), GREEDY)).tokens).toHaveLength(12);
    };
    await onDevice({ speculate: { draft: model } }, work, { always: true });
  });

  test.each(["plain", "guesses"])(
    "whatever runs beside it, waits or shares its pages: who is not told of it gets the tokens of a quiet engine (%s)",
    async (kind) => {
      const sizes: EngineOptions = { maxBatchTokens: 48, kvType: "f16", kvCacheBytes: cacheFor(GEMMA3, kind === "plain" ? 320 : 640, {}) };
      const options: EngineOptions = kind === "plain" ? sizes : { ...sizes, speculate: { lookup: true, draft: model } };
      const requests = randomRequests(30, GEMMA3.vocabSize, 60, 6);
      const quiet = await open(model, { prefixCache: false }, testAddon);
      const expected = await inTurn(quiet, requests);
      await quiet.close();
      let lost = 0;
      const work = async (engine: Engine): Promise<void> => {
        for (let round = 0; round < 12; round++) {
          const results = requests.map(({ prompt, params }) => engine.generate(prompt, params).then(wholeOf, (error) => error.code));
          for (let failures = 0; failures < 3; failures++) {
            testAddon.failOp(1 + random.int(150), "OUT_OF_MEMORY");
            await new Promise((resolve) => setTimeout(resolve, 4));
          }
          for (const [i, result] of (await Promise.all(results)).entries()) {
            if (result === "OUT_OF_MEMORY") lost += 1;
            else expect({ round, i, result }).toEqual({ round, i, result: expected[i] });
          }
          testAddon.failOp(0, "OUT_OF_MEMORY");
          expect(held(engine)).toEqual(NOTHING);
        }
      };
      await onDevice(options, work, { always: true });
      expect(lost).toBeGreaterThan(10);
    },
  );
});

describe("a step whose end cannot be marked", () => {
  // Kernels under way refer to the step's results, which go when it has failed.
  test("has failed when nothing of it runs any more; then the engine gives what a fresh one gives", async () => {
    await onDevice({ prefixCache: false }, async (engine) => {
      const kept = prompt(200);
      const fresh = bits(await engine.generate(kept, GREEDY));
      for (let i = 0; i < 4; i++) {
        testAddon.failRecord(1, "OUT_OF_MEMORY");
        await expect(engine.generate(kept, { ...GREEDY, maxTokens: 1 })).rejects.toMatchObject({ code: "OUT_OF_MEMORY" });
        const ran = testAddon.opsRun();
        await new Promise((resolve) => setTimeout(resolve, 50));
        expect(testAddon.opsRun()).toBe(ran);
        expect(held(engine)).toEqual(NOTHING);
        expect(bits(await engine.generate(kept, GREEDY))).toEqual(fresh);
      }
    });
  });
});

describe("a step that fails for another reason", () => {
  test("is survived once, and again after a good one", async () => {
    await onDevice({}, async (engine) => {
      for (let i = 0; i < 3; i++) {
        testAddon.failOp(5, "INTERNAL");
        await expect(engine.generate(prompt(20), GREEDY)).rejects.toMatchObject({ code: "INTERNAL" });
        expect((await engine.generate(prompt(20), GREEDY)).tokens).toHaveLength(12);
      }
    });
  });

  test("twice in a row is the end", async () => {
    await onDevice({}, async (engine) => {
      for (let i = 0; i < 2; i++) {
        testAddon.failOp(1, "INTERNAL");
        await expect(engine.generate(prompt(20), GREEDY)).rejects.toMatchObject({ code: "INTERNAL" });
      }
      await expect(engine.generate(prompt(20), GREEDY)).rejects.toMatchObject({ code: "INTERNAL" });
    });
  });
});
