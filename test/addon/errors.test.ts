import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ERROR_CODES } from "../../lib/errors.ts";
import { type NativeConfig, type NativeEngine, ROW_OUTPUT, type StepBuffers } from "../../lib/native/addon.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { addon, SHAPE, slotConfig, stepBuffers, tinyConfig } from "./support/tiny.mjs";

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

/** What is wrong for every number, array and string of a contract. */
const WRONG = [undefined, null, Number.NaN, Number.POSITIVE_INFINITY, -2, 1.5, 2 ** 32 + 1, 2 ** 53, 1n, "1", Symbol("s"), {}, () => {}];

/** How `call` fails: it has to, with a documented code, and the engine has to go on as before. */
async function failure(call: () => unknown): Promise<string> {
  let code: unknown = "none";
  try {
    await call();
  } catch (error) {
    code = (error as { code?: unknown }).code;
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message.length).toBeGreaterThan(10);
  }
  expect(await sampledToken()).toBe(expected);
  return String(code);
}

/** Spoils each named property of an object by each wrong value in turn, but for those that it may have. */
async function spoil(
  make: () => object,
  keys: readonly string[],
  call: (spoiled: never) => unknown,
  allowed: readonly unknown[] = [],
): Promise<void> {
  for (const key of keys) {
    for (const wrong of WRONG) {
      if (allowed.includes(wrong)) continue;
      const what = `${key} = ${String(wrong)}`;
      expect(ERROR_CODES, what).toContain(await failure(() => call({ ...make(), [key]: wrong } as never)));
    }
  }
}

/** Getters that throw, what is thrown being anything. */
const thrown = [null, undefined, 0, "text", new RangeError("mine")];

function throwing(object: object, key: string, value: unknown): object {
  return Object.defineProperty({ ...object }, key, {
    enumerable: true,
    get() {
      throw value;
    },
  });
}

const detached = (array: Int32Array | Float32Array): typeof array => {
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
  return array;
};

describe("new Engine", () => {
  const make = (): NativeConfig => tinyConfig(path);
  const refuse = (config: unknown) => new addon.Engine(config as NativeConfig);

  it("refuses each wrong value of its configuration", async () => {
    await spoil(make, ["spec", "files", "tensors", "isa", "compute", "kvType", "threads", "pageSize", "pages"], refuse);
    await spoil(make, ["maxSlots", "maxBatchTokens", "maxContext"], refuse);
    for (const [key, value] of [
      ["threads", 257],
      ["pageSize", 24],
      ["pages", [128]],
      ["pages", [128, 2 ** 30]],
      ["maxBatchTokens", 2 ** 20],
    ] as const)
      expect(await failure(() => refuse({ ...make(), [key]: value })), key).toBe("INVALID_ARGUMENT");
    expect(await failure(() => refuse({ ...make(), isa: "avx1024" }))).toBe("UNSUPPORTED_DEVICE");
    for (const config of [undefined, null, 1, "config", [], () => {}, new Proxy({}, {})])
      expect(await failure(() => refuse(config))).toBe("INVALID_ARGUMENT");
  });

  it("refuses each wrong value of its model", async () => {
    const inSpec = (change: (spec: Fields) => Fields) => (config: { spec: Fields }) => refuse({ ...config, spec: change(config.spec) });
    const keys = ["vocabSize", "hiddenSize", "normEpsilon", "embeddingScale", "ropes", "cacheGroups", "layers"];
    const loose: unknown[] = [-2, 1.5, 2 ** 32 + 1, 2 ** 53]; // factors may be any finite number
    for (const key of keys) {
      for (const wrong of WRONG) {
        if (key === "embeddingScale" && loose.includes(wrong)) continue;
        expect(ERROR_CODES, `${key} = ${String(wrong)}`).toContain(
          await failure(() => inSpec((spec) => ({ ...spec, [key]: wrong }))(make() as never)),
        );
      }
    }
    const { spec } = make();
    const [layer, group, rope] = [spec.layers[0]!, spec.cacheGroups[0]!, spec.ropes[0]!];
    const changes: Partial<NativeConfig["spec"]>[] = [
      { ropes: [{ ...rope, frequencies: Float32Array.of(1, Number.NaN) }] },
      { ropes: [{ ...rope, frequencies: new Float32Array(5) }] },
      { cacheGroups: [group, group] },
      { cacheGroups: [group] },
      { cacheGroups: [{ ...group, layers: [4095] }, group] },
      { layers: [{ ...layer, mixer: { ...layer.mixer, queryHeads: 3 } }, layer, layer] },
      { layers: [{ ...layer, mixer: { ...layer.mixer, queryHeads: 2 ** 14, headSize: 2 ** 24 } }, layer, layer] },
      { layers: [{ ...layer, mixer: { ...layer.mixer, scale: Number.NaN } }, layer, layer] },
      { layers: [{ ...layer, mixer: { ...layer.mixer, cacheGroup: 2 } }, layer, layer] },
    ];
    for (const change of changes)
      expect(await failure(() => refuse({ ...make(), spec: { ...spec, ...change } })), JSON.stringify(change)).toBe("INVALID_ARGUMENT");
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
    const cases: [Fields, string][] = [
      [{ offset: 2 ** 53 - 1 }, "FILE_INVALID"],
      [{ shape: [2 ** 24, 2 ** 24] }, "FILE_INVALID"],
      [{ shape: [SHAPE.vocab + 1, SHAPE.hidden] }, "FILE_INVALID"],
      [{ shape: [SHAPE.vocab, SHAPE.hidden, 1] }, "INVALID_ARGUMENT"],
      [{ type: "Q4_K" }, "INVALID_ARGUMENT"],
      [{ name: "layers.3.q" }, "INVALID_ARGUMENT"],
      [{ name: "layers.99999999999999999999.q" }, "INVALID_ARGUMENT"],
      [{ name: "final_norm", shape: [SHAPE.hidden] }, "FILE_INVALID"],
    ];
    for (const [change, code] of cases)
      expect(await failure(() => load([{ ...first, ...change }, ...others])), JSON.stringify(change)).toBe(code);
    expect(await failure(() => load(others))).toBe("FILE_INVALID");
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
    for (const name of ["load", "setSlot", "step", "sample", "close"] as const) {
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
    for (const value of thrown) {
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
  const inputs = ["slots", "qIndptr", "starts", "tokens", "outputs", "nextTokens", "wantLogits", "kvIndptr", "kvFirst", "kvPages"] as const;
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
      if (key === "wantLogits") continue;
      for (const value of [2 ** 31 - 1, -(2 ** 31)]) {
        const step = goodStep();
        step[key].fill(value);
        expect(await failure(() => engine.step(step)), `${key} full of ${value}`).toBe("INVALID_ARGUMENT");
      }
    }
  });

  it("refuses pages that do not cover a row, and a slot in two rows", async () => {
    const row = { slot: 0, start: 0, tokens: TOKENS, output: 0 };
    expect(await failure(() => engine.step(stepBuffers([row, row])))).toBe("INVALID_ARGUMENT");
    expect(await failure(() => engine.step({ ...goodStep(), kvIndptr: Int32Array.of(0, 0, 0, 0) }))).toBe("INVALID_ARGUMENT");
    expect(await failure(() => engine.step({ ...goodStep(), kvFirst: Int32Array.of(1, 0) }))).toBe("INVALID_ARGUMENT");
    expect(await failure(() => engine.step(stepBuffers([{ ...row, start: 1022 }], 64)))).toBe("INVALID_ARGUMENT");
  });

  it("refuses result arrays that are taken away while it runs", async () => {
    const step = goodStep();
    const running = engine.step(step);
    detached(step.sampled);
    await expect(running).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(await sampledToken()).toBe(expected);
  });
});

describe("sample", () => {
  it("refuses each wrong value, and a slot that waits for no logits", async () => {
    const logits = new Float32Array(SHAPE.vocab);
    for (const slot of [...WRONG, 8, 0]) expect(await failure(() => engine.sample(slot as never, logits))).toBe("INVALID_ARGUMENT");
    for (const wrong of [...WRONG, logits.subarray(1), new Float64Array(SHAPE.vocab), detached(logits.slice())])
      expect(await failure(() => engine.sample(0, wrong as never))).toBe("INVALID_ARGUMENT");
  });

  it("tells of logits that leave no token by -1", async () => {
    for (const value of [Number.NaN, Number.NEGATIVE_INFINITY]) {
      engine.setSlot(0, slotConfig());
      await engine.step(stepBuffers([{ slot: 0, start: 0, tokens: TOKENS, output: ROW_OUTPUT.logits }]));
      expect((await engine.sample(0, new Float32Array(SHAPE.vocab).fill(value))).token).toBe(-1);
    }
  });
});

describe("op", () => {
  const options = { isa: "portable", threads: 1 } as const;
  const floats = (count: number): Float32Array => new Float32Array(count);

  it("refuses wrong names, options and arguments", async () => {
    const args = { x: floats(4), y: floats(4) };
    for (const name of [...WRONG, "subtract"]) expect(await failure(() => addon.op(name as never, options, args))).toBe("INVALID_ARGUMENT");
    await spoil(
      () => options,
      ["threads"],
      (wrong) => addon.op("add", wrong, args),
    );
    await spoil(
      () => options,
      ["isa"],
      (wrong) => addon.op("add", wrong, args),
    );
    await spoil(
      () => args,
      ["x", "y"],
      (wrong) => addon.op("add", options, wrong),
    );
    const rope = {
      count: 2 ** 30,
      heads: 2 ** 30,
      headSize: 2 ** 30,
      pairs: 0,
      x: floats(0),
      positions: new Int32Array(),
      frequencies: floats(0),
      scale: 1,
    };
    expect(await failure(() => addon.op("rope", options, rope))).toBe("INVALID_ARGUMENT");
    expect(await failure(() => addon.op("add", options, { x: { x: { x: { x: { x: 1 } } } } }))).toBe("INVALID_ARGUMENT");
  });

  it("runs no getter between looking at an array and using it", async () => {
    const x = floats(1 << 20);
    const trap = {
      x,
      get y() {
        detached(x);
        return floats(1 << 20);
      },
    };
    expect(await failure(() => addon.op("add", options, trap))).toBe("INVALID_ARGUMENT");
  });
});

describe("what JavaScript throws", () => {
  it("comes back as it is, whatever it is", async () => {
    const calls: [() => object, string, (object: never) => unknown][] = [
      [() => tinyConfig(path), "spec", (config) => new addon.Engine(config)],
      [slotConfig, "tokens", (config) => engine.setSlot(0, config)],
      [goodStep, "kvPages", (step) => engine.step(step)],
      [goodStep, "rowCount", (step) => engine.step(step)],
      [() => ({ isa: "portable", threads: 1 }), "threads", (options) => addon.op("add", options, {})],
      [() => ({ x: new Float32Array(1), y: new Float32Array(1) }), "y", (args) => addon.op("add", { isa: "portable", threads: 1 }, args)],
    ];
    for (const [make, key, call] of calls) {
      for (const value of thrown) {
        const outcome = (async () => call(throwing(make(), key, value) as never))().then(
          () => "nothing was thrown",
          (error: unknown) => error,
        );
        expect(await outcome).toBe(value);
        const proxy = new Proxy(make(), { get: (target, name) => (name === key ? thrower(value) : Reflect.get(target, name)) });
        expect(await (async () => call(proxy as never))().catch((error: unknown) => error)).toBe(value);
      }
    }
    expect(await sampledToken()).toBe(expected);
  });
});

function thrower(value: unknown): never {
  throw value;
}
