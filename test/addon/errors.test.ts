import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { ERROR_CODES } from "../../lib/errors.ts";
import type { CacheGroup, LayerSpec } from "../../lib/model/spec.ts";
import { type NativeConfig, type NativeEngine, ROW_OUTPUT, type StepBuffers, type StepResults } from "../../lib/native/addon.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { addon, results, SHAPE, slotConfig, stepBuffers, tinyConfig } from "./support/tiny.mjs";
import { codeOf, detached, FINITE, spoil, THROWN, thrownBy, WRONG } from "./support/wrong.ts";

/** Any object, seen as what can be spoiled. */
type Fields = Record<string, unknown>;

const directory = temporaryDirectory();
const path = join(directory, "weights.bin");
const TOKENS = [1, 2, 3];
let engine: NativeEngine;
let expected: number;

const goodStep = (): StepBuffers => stepBuffers([{ slot: 0, start: 0, tokens: TOKENS, output: ROW_OUTPUT.sample }]);

async function sampledToken(): Promise<number> {
  engine.setSlot(0, slotConfig());
  const step = goodStep();
  await engine.step(step);
  return step.sampled[0]!;
}

beforeAll(async () => {
  engine = new addon.Engine(tinyConfig(path));
  await engine.load(() => {});
  expected = await sampledToken();
});
afterAll(() => engine.close());
afterEach(async () => expect(await sampledToken()).toBe(expected)); // whatever was refused

/** How `call` fails. The engine has to go on as before. */
async function failure(call: () => unknown): Promise<string> {
  const code = await codeOf(call);
  expect(await sampledToken()).toBe(expected);
  return code;
}

describe("new Engine", () => {
  const make = (): NativeConfig => tinyConfig(path);
  const refuse = (config: unknown) => new addon.Engine(config as NativeConfig);

  it("refuses each wrong value of its configuration", async () => {
    await spoil(make, ["spec", "files", "tensors", "device", "compute", "kvType", "pageSize", "pages"], refuse);
    await spoil(make, ["maxSlots", "maxBatchTokens", "maxContext"], refuse);
    for (const [key, value] of [
      ["pageSize", 24],
      ["pages", [128]],
      ["pages", [128, 2 ** 30]],
      ["maxBatchTokens", 2 ** 20],
    ] as const)
      expect(await failure(() => refuse({ ...make(), [key]: value })), key).toBe("INVALID_ARGUMENT");
    await spoil(
      () => make().device,
      ["kind", "isa", "threads"],
      (device) => refuse({ ...make(), device }),
    );
    const { device } = make();
    expect(await failure(() => refuse({ ...make(), device: { ...device, threads: 257 } }))).toBe("INVALID_ARGUMENT");
    for (const change of [{ isa: "avx1024" }, { kind: "abacus" }])
      expect(await failure(() => refuse({ ...make(), device: { ...device, ...change } }))).toBe("UNSUPPORTED_DEVICE");
    for (const config of [undefined, null, 1, "config", [], () => {}, new Proxy({}, {})])
      expect(await failure(() => refuse(config))).toBe("INVALID_ARGUMENT");
  });

  it("refuses each wrong value of its model", async () => {
    const inSpec = (change: (spec: Fields) => Fields) => (config: { spec: Fields }) => refuse({ ...config, spec: change(config.spec) });
    const keys = [
      "vocabSize",
      "hiddenSize",
      "norm",
      "embeddingScale",
      "residualScale",
      "logitScale",
      "learnedPositions",
      "ropes",
      "cacheGroups",
      "layers",
    ];
    for (const key of keys) {
      for (const wrong of WRONG) {
        if (key.endsWith("Scale") && FINITE.includes(wrong)) continue;
        expect(ERROR_CODES, `${key} = ${String(wrong)}`).toContain(
          await failure(() => inSpec((spec) => ({ ...spec, [key]: wrong }))(make() as never)),
        );
      }
    }
    const { spec } = make();
    const [group, rope] = [spec.cacheGroups[0]!, spec.ropes[0]!];
    const changes: Partial<NativeConfig["spec"]>[] = [
      { ropes: [{ ...rope, frequencies: Float64Array.of(1, Number.NaN) }] },
      { cacheGroups: [group, group] },
      { cacheGroups: [group] },
      { cacheGroups: [{ ...group, layers: [4095] }, group] },
      { cacheGroups: [group, { ...group, window: 32 }] },
    ];
    for (const change of changes)
      expect(await failure(() => refuse({ ...make(), spec: { ...spec, ...change } })), JSON.stringify(change)).toBe("INVALID_ARGUMENT");
  });

  it("refuses each wrong value of a layer, of a cache group and of a rope", async () => {
    const { spec } = make();
    const [first, ...layers] = spec.layers as [LayerSpec, ...LayerSpec[]];
    const [group, ...groups] = spec.cacheGroups as [CacheGroup, ...CacheGroup[]];
    const inSpec = (change: Fields) => refuse({ ...make(), spec: { ...spec, ...change } });
    const inLayer = (change: Fields) => inSpec({ layers: [{ ...first, ...change }, ...layers] });
    const inGroup = (change: Fields) => inSpec({ cacheGroups: [{ ...group, ...change }, ...groups] });
    await spoil(() => first, ["residual", "mixer", "feedForward"], inLayer);
    await spoil(
      () => first.mixer,
      ["kind", "queryHeads", "kvHeads", "headSize", "qkNorm", "cacheGroup"],
      (mixer) => inLayer({ mixer }),
    );
    await spoil(
      () => first.mixer,
      ["rope", "queryGrowth"],
      (mixer) => inLayer({ mixer }),
      [undefined],
    );
    const growth = { growth: 0.1, context: 16 };
    await spoil(
      () => growth,
      ["context"],
      (queryGrowth) => inLayer({ mixer: { ...first.mixer, queryGrowth } }),
    );
    await spoil(
      () => first.mixer,
      ["scale"],
      (mixer) => inLayer({ mixer }),
      FINITE,
    );
    await spoil(
      () => first.feedForward,
      ["kind", "size", "activation"],
      (feedForward) => inLayer({ feedForward }),
    );
    await spoil(() => group, ["kind", "window", "layers", "parts"], inGroup);
    await spoil(
      () => group.parts[0]!,
      ["elements", "type"],
      (part) => inGroup({ parts: [part, group.parts[1]] }),
    );
    await spoil(
      () => spec.ropes[0]!,
      ["frequencies"],
      (rope) => inSpec({ ropes: [rope] }),
    );
    await spoil(
      () => spec.ropes[0]!,
      ["scale"],
      (rope) => inSpec({ ropes: [rope] }),
      FINITE,
    );
    for (const parts of [[], Array(9).fill(group.parts[0])]) expect(await failure(() => inGroup({ parts }))).toBe("INVALID_ARGUMENT");
    for (const kind of ["window", "state"]) expect(await failure(() => inGroup({ kind }))).toBe("INVALID_ARGUMENT");
    for (const mixer of [{ kind: "latent" }, { ...first.mixer, kind: "" }])
      expect(await failure(() => inLayer({ mixer }))).toBe("INVALID_ARGUMENT");
    expect(await failure(() => inLayer({ feedForward: { ...first.feedForward, kind: "experts" } }))).toBe("INVALID_ARGUMENT");
  });

  it("refuses sizes of layers that contradict each other when it loads", async () => {
    const { spec } = make();
    const [layer, group, rope] = [spec.layers[0]!, spec.cacheGroups[0]!, spec.ropes[0]!];
    const inMixer = (change: Fields): Fields => ({ layers: [{ ...layer, mixer: { ...layer.mixer, ...change } }, ...spec.layers.slice(1)] });
    const inParts = (...parts: CacheGroup["parts"]): Fields => ({ cacheGroups: [{ ...group, parts }, spec.cacheGroups[1]] });
    const part = group.parts[0]!;
    const cases: [string, Fields][] = [
      ["more pairs than a head has", { ropes: [{ ...rope, frequencies: new Float64Array(5) }] }],
      ["query heads that kv heads do not divide", inMixer({ queryHeads: 3 })],
      ["heads that are too wide", inMixer({ queryHeads: 2 ** 14, headSize: 2 ** 24 })],
      ["a rope that is not there", inMixer({ rope: 1 })],
      ["a cache group that is not there", inMixer({ cacheGroup: 2 })],
      ["another layer's cache group", inMixer({ cacheGroup: 1 })],
      ["one part", inParts(part)],
      ["three parts", inParts(part, part, part)],
      ["a part of another size", inParts(part, { ...part, elements: 8 })],
      ["a part of another type", inParts(part, { ...part, type: "f32" })],
    ];
    for (const [what, change] of cases) {
      const other = refuse({ ...make(), spec: { ...spec, ...change } });
      expect(await failure(() => other.load(() => {})), what).toBe("INVALID_ARGUMENT");
      await other.close();
    }
    const gated = refuse({
      ...make(),
      spec: { ...spec, layers: [{ ...layer, feedForward: { ...layer.feedForward, size: 49 } }, ...spec.layers.slice(1)] },
    });
    expect(await failure(() => gated.load(() => {}))).toBe("FILE_INVALID"); // its matrices have 48 rows
    await gated.close();
  });

  it("refuses a norm's bias without its weight when it loads", async () => {
    const { tensors } = make();
    const norm = tensors.find(({ name }) => name === "layers.1.attn_norm")!;
    const load = async (...names: string[]): Promise<void> => {
      const norms = names.map((name) => ({ ...norm, name: `layers.1.${name}` }));
      const other = refuse({ ...make(), tensors: [...tensors.filter((tensor) => tensor !== norm), ...norms] });
      await other.load(() => {}).finally(() => other.close());
    };
    await load("attn_norm", "attn_norm_bias");
    expect(await failure(() => load("post_attn_norm", "attn_norm_bias"))).toBe("FILE_INVALID");
  });

  it("refuses each wrong tensor, at the latest when it loads", async () => {
    const [first, ...others] = make().tensors;
    const load = async (tensors: unknown[], files = make().files): Promise<void> => {
      const other = refuse({ ...make(), tensors, files });
      await other.load(() => {}).finally(() => other.close());
    };
    await spoil(
      () => first!,
      ["name", "file", "offset", "type", "shape"],
      (tensor) => load([tensor, ...others]),
    );
    const SCALES = { matrix: "w", name: "s", file: 0, offset: 0, type: "F32", blockRows: 1, blockColumns: 64, first: 0 };
    const scaled: [{ scales?: Fields; layout?: Fields; shape?: number[] }, string][] = [
      [{ scales: {} }, "FILE_INVALID"], // of another shape than the embedding
      [{}, "INVALID_ARGUMENT"],
      [{ scales: { file: 9 } }, "INVALID_ARGUMENT"],
      [{ scales: { offset: 2 ** 53 - 1 } }, "FILE_INVALID"],
      [{ scales: { first: 2 ** 24 } }, "FILE_INVALID"],
      [{ scales: { first: -1 } }, "INVALID_ARGUMENT"],
      [{ scales: { type: "Q8_0" } }, "INVALID_ARGUMENT"],
      [{ scales: { blockRows: 0 } }, "INVALID_ARGUMENT"],
      [{ scales: { blockColumns: 32 } }, "INVALID_ARGUMENT"],
      [{ scales: {}, shape: [64] }, "INVALID_ARGUMENT"],
      [{ scales: {}, shape: [16, 96] }, "INVALID_ARGUMENT"],
      [{ scales: {}, layout: { kind: "runs", run: 8, stride: 8 } }, "INVALID_ARGUMENT"],
      [{ scales: {}, layout: { kind: "transposed", stride: 64 } }, "INVALID_ARGUMENT"],
    ];
    const cases: [Fields, string][] = [
      [{ offset: 2 ** 53 - 1 }, "FILE_INVALID"],
      [{ shape: [2 ** 24, 2 ** 24] }, "FILE_INVALID"],
      [{ shape: [SHAPE.vocab + 1, SHAPE.hidden] }, "FILE_INVALID"],
      [{ shape: [SHAPE.vocab, SHAPE.hidden, 1] }, "FILE_INVALID"],
      [{ shape: [1, 1, SHAPE.vocab, SHAPE.hidden] }, "INVALID_ARGUMENT"],
      [{ type: "Q4_K" }, "INVALID_ARGUMENT"],
      [{ layout: { kind: "columns", stride: 8 } }, "INVALID_ARGUMENT"],
      [{ layout: { kind: "runs", run: 0, stride: 8 } }, "INVALID_ARGUMENT"],
      [{ layout: { kind: "runs", run: 8, stride: 4 } }, "INVALID_ARGUMENT"],
      [{ layout: { kind: "runs", run: 1, stride: 2 ** 24 } }, "FILE_INVALID"],
      [{ layout: { kind: "transposed", stride: SHAPE.vocab - 1 } }, "INVALID_ARGUMENT"],
      [{ layout: { kind: "transposed", stride: 2 ** 24 } }, "FILE_INVALID"],
      [{ layout: { kind: "transposed", stride: SHAPE.vocab }, shape: [SHAPE.hidden] }, "INVALID_ARGUMENT"],
      ...scaled.map(([change, code]): [Fields, string] => [
        { type: "F8_E4M3", shape: [16, 64], ...change, ...(change.scales !== undefined && { scales: { ...SCALES, ...change.scales } }) },
        code,
      ]),
      [{ scales: SCALES }, "INVALID_ARGUMENT"],
      [{ name: "layers.3.q" }, "FILE_INVALID"],
      [{ name: "final_norm", shape: [SHAPE.hidden] }, "FILE_INVALID"],
    ];
    for (const [change, code] of cases)
      expect(await failure(() => load([{ ...first, ...change }, ...others])), JSON.stringify(change)).toBe(code);
    expect(await failure(() => load(others))).toBe("FILE_INVALID");
    for (const name of ["layers.3.q", "layers.99999999999999999999.q", "layers.0.Q", ""]) // nobody asks for it
      expect(await failure(() => load([first, ...others, { ...first, name }]))).toBe("INVALID_ARGUMENT");
    expect(await failure(() => load([first, ...others], [{ path: "/nowhere", size: 2 ** 40 }]))).toBe("FILE_NOT_FOUND");
    expect(await failure(() => load([first, ...others], [{ path: directory, size: 2 ** 40 }]))).toBe("FILE_INVALID");
    execFileSync("mkfifo", [join(directory, "pipe")]);
    expect(await failure(() => load([first, ...others], [{ path: join(directory, "pipe"), size: 2 ** 40 }]))).toBe("FILE_INVALID");
    writeFileSync(join(directory, "short.bin"), "");
    expect(await failure(() => load([first, ...others], [{ path: join(directory, "short.bin"), size: make().files[0]!.size }]))).toBe(
      "FILE_INVALID",
    );
  });

  it("says that memory ran out", async () => {
    const huge = refuse({ ...make(), pageSize: 1024, pages: [2 ** 26, 2 ** 26] }); // 24 TiB
    expect(await failure(() => huge.load(() => {}))).toBe("OUT_OF_MEMORY");
    await huge.close();
  });

  it("needs `new`, and methods their own object", () => {
    expect(() => (addon.Engine as unknown as () => void)()).toThrow(TypeError);
    for (const name of ["load", "setSlot", "step", "choose", "close"] as const) {
      const method = addon.Engine.prototype[name] as (...args: unknown[]) => unknown;
      for (const self of [undefined, {}, addon, Object.create(engine)]) expect(() => method.call(self, () => {}, {})).toThrow();
    }
  });
});

describe("load", () => {
  it("needs a function, and runs once", async () => {
    for (const wrong of WRONG.slice(0, -1)) expect(await failure(() => engine.load(wrong as never))).toBe("INVALID_ARGUMENT");
    expect(await failure(() => engine.load(() => {}))).toBe("INVALID_ARGUMENT");
  });

  it("goes on when its progress function throws", async () => {
    for (const value of THROWN) {
      const other = new addon.Engine(tinyConfig(path));
      const info = await other.load(() => {
        throw value;
      });
      expect(info.weightBytes).toBeGreaterThan(0);
      await other.close();
    }
  });
});

describe("setSlot", () => {
  it("refuses each wrong value", async () => {
    for (const slot of [...WRONG, 8]) expect(await failure(() => engine.setSlot(slot as never, slotConfig()))).toBe("INVALID_ARGUMENT");
    const set = (config: never) => engine.setSlot(1, config);
    await spoil(slotConfig, ["topK", "minTokens", "promptLength", "logprobs", "biasTokens", "biasValues", "endTokens", "tokens"], set);
    await spoil(slotConfig, ["minP", "topP", "typicalP"], set);
    await spoil(slotConfig, ["repetitionPenalty"], set, [1.5]);
    await spoil(slotConfig, ["temperature"], set, [1.5, 2 ** 32 + 1, 2 ** 53]);
    await spoil(slotConfig, ["presencePenalty", "frequencyPenalty"], set, [-2, 1.5]);
    await spoil(slotConfig, ["seed"], set, [undefined, 1n]);
    const wrong = {
      biasTokens: Int32Array.of(1),
      tokens: Int32Array.of(SHAPE.vocab),
      endTokens: Int32Array.of(-1),
      seed: -1n,
      promptLength: 1,
      logprobs: 21,
    };
    for (const [key, value] of Object.entries(wrong))
      expect(await failure(() => set({ ...slotConfig(), [key]: value } as never)), key).toBe("INVALID_ARGUMENT");
    expect(await failure(() => set({ ...slotConfig(), seed: 2n ** 64n } as never))).toBe("INVALID_ARGUMENT");
  });
});

describe("step", () => {
  const inputs = [
    "slots",
    "qIndptr",
    "starts",
    "tokens",
    "kinds",
    "outIndptr",
    "nextTokens",
    "logitRows",
    "kvIndptr",
    "kvFirst",
    "kvPages",
  ] as const;
  const results = ["sampled", "logprobs", "topTokens", "topLogprobs"] as const;

  it("refuses each wrong array, and numbers out of range in each", async () => {
    for (const wrong of WRONG) expect(await failure(() => engine.step(wrong as never))).toBe("INVALID_ARGUMENT");
    await spoil(goodStep, ["rowCount", ...inputs, ...results], (step) => engine.step(step));
    for (const key of [...inputs, ...results]) {
      const step = goodStep();
      expect(await failure(() => engine.step({ ...step, [key]: step[key].subarray(1) })), `${key} is short`).toBe("INVALID_ARGUMENT");
      expect(await failure(() => engine.step({ ...step, [key]: detached(step[key].slice()) })), `${key} is detached`).toBe(
        "INVALID_ARGUMENT",
      );
      expect(await failure(() => engine.step({ ...step, [key]: new Float64Array(99) as never })), `${key} is of doubles`).toBe(
        "INVALID_ARGUMENT",
      );
    }
    for (const key of inputs) {
      for (const value of [2 ** 31 - 1, -(2 ** 31)]) {
        const step = goodStep();
        step[key].fill(value);
        expect(await failure(() => engine.step(step)), `${key} full of ${value}`).toBe("INVALID_ARGUMENT");
      }
    }
  });

  it("refuses each wrong array of logits", async () => {
    const make = (): StepBuffers => stepBuffers([{ slot: 0, start: 0, tokens: TOKENS, output: ROW_OUTPUT.score, wantLogits: true }]);
    await spoil(make, ["logits"], (step) => engine.step(step));
    const { logits } = make();
    for (const wrong of [logits!.subarray(1), logits!.subarray(SHAPE.vocab), new Float64Array(logits!.length), detached(logits!.slice())])
      expect(await failure(() => engine.step({ ...make(), logits: wrong as never }))).toBe("INVALID_ARGUMENT");
  });

  it("refuses result arrays that are taken away while it runs", async () => {
    for (const key of ["sampled", "logprobs", "topTokens", "topLogprobs", "logits"] as const) {
      engine.setSlot(0, slotConfig());
      const step = stepBuffers([{ slot: 0, start: 0, tokens: TOKENS, output: ROW_OUTPUT.logits }]);
      const running = engine.step(step);
      detached(step[key]!);
      await expect(running, key).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(await sampledToken()).toBe(expected);
    }
  });
});

/** A choice that the slot waits for. */
async function choose(results: StepResults): Promise<void> {
  engine.setSlot(0, slotConfig());
  const step = stepBuffers([{ slot: 0, start: 0, tokens: TOKENS, output: ROW_OUTPUT.logits }]);
  await engine.step(step);
  await engine.choose(0, step.logits!, results);
}

describe("choose", () => {
  it("refuses each wrong value", async () => {
    const logits = new Float32Array(SHAPE.vocab);
    for (const slot of [...WRONG, 8, 0])
      expect(await failure(() => engine.choose(slot as never, logits, results(1)))).toBe("INVALID_ARGUMENT");
    for (const wrong of [...WRONG, logits.subarray(1), new Float64Array(SHAPE.vocab), detached(logits.slice())])
      expect(await failure(() => engine.choose(0, wrong as never, results(1)))).toBe("INVALID_ARGUMENT");
    for (const wrong of WRONG) expect(await failure(() => engine.choose(0, logits, wrong as never))).toBe("INVALID_ARGUMENT");
    await spoil(() => results(1), ["sampled", "logprobs", "topTokens", "topLogprobs"], choose);
    for (const key of ["sampled", "logprobs", "topTokens", "topLogprobs"] as const)
      expect(await failure(() => choose({ ...results(1), [key]: detached(results(1)[key]) }))).toBe("INVALID_ARGUMENT");
  });
});

describe("what JavaScript throws", () => {
  it("comes back as it is, whatever it is", async () => {
    const calls: [() => object, string, (object: never) => unknown][] = [
      [() => tinyConfig(path), "spec", (config) => new addon.Engine(config)],
      [slotConfig, "tokens", (config) => engine.setSlot(0, config)],
      [goodStep, "kvPages", (step) => engine.step(step)],
      [goodStep, "rowCount", (step) => engine.step(step)],
      [() => results(1), "sampled", (results) => choose(results)],
    ];
    for (const [make, key, call] of calls)
      for (const value of THROWN) expect(await thrownBy(make, key, value, call)).toEqual([value, value]);
    expect(await sampledToken()).toBe(expected);
  });
});
