import { expect, test } from "vitest";
import type { Machine } from "../../../lib/api/device.ts";
import { memoryBytes } from "../../../lib/api/memory.ts";
import type { EngineOptions } from "../../../lib/api/options.ts";
import { MAX_SLOTS, PAGE_SIZE, type PoolRequest, pageBytes, sizePools } from "../../../lib/api/pools.ts";
import type { CachePart } from "../../../lib/model/kinds.ts";
import type { CacheGroup, ModelSource, TensorType } from "../../../lib/model/spec.ts";
import { createPlan } from "../../../lib/schedule/plan.ts";
import { Scheduler } from "../../../lib/schedule/scheduler.ts";
import { fakeSource } from "../../support/fake-engine.ts";
import { checkedOptions } from "../../support/options.ts";

const machine: Machine = { isas: () => ["portable", "avx2"], gpuCount: () => 0, gpuFreeBytes: () => undefined };
const check = (options: unknown) => checkedOptions(options as EngineOptions, fakeSource(), machine);

test.each<[string, unknown]>([
  ["device", "gpu"],
  ["threads", 0],
  ["threads", Number.NaN],
  ["threads", 2 ** 53],
  ["isa", "sse"],
  ["compute", "f16"],
  ["kvType", "int8"],
  ["maxContext", -1],
  ["maxContext", 1.5],
  ["kvCacheBytes", Number.NaN],
  ["kvCacheBytes", 2 ** 53],
  ["kvCacheBytes", 10],
  ["maxBatchTokens", 0],
  ["prefixCache", 1],
  ["speculate", true],
  ["speculate", {}],
  ["speculate", { tokens: 4 }],
  ["speculate", { lookup: true, token: 4 }],
  ["speculate.lookup", { lookup: 1 }],
  ["speculate.draft", { draft: 1 }],
  ["speculate.tokens", { lookup: true, tokens: 0 }],
  ["speculate.tokens", { lookup: true, tokens: 65 }],
  ["signal", {}],
  ["onProgress", 5],
  ["thread", 5],
])("%s: %s is INVALID_ARGUMENT and named", (name, value) => {
  expect(() => check({ [name.split(".")[0]!]: value })).toThrow(
    expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(name) }),
  );
});

test("a draft that has learned fewer positions than a request may have", () => {
  const draft = fakeSource();
  draft.spec.learnedPositions = 64;
  const checkWith = (options: EngineOptions) => checkedOptions(options, fakeSource(), machine, draft);
  const refused = { code: "INVALID_ARGUMENT", message: expect.stringContaining("maxContext is 256; expected at most 64") };
  expect(() => checkWith({})).toThrow(expect.objectContaining(refused));
  expect(() => checkWith({ maxContext: 256 })).toThrow(expect.objectContaining(refused));
  expect(checkWith({ maxContext: 64 }).maxContext).toBe(64);
});

test("an instruction set that is not there", () => {
  expect(() => check({ isa: "avx512" })).toThrow(expect.objectContaining({ code: "UNSUPPORTED_DEVICE" }));
});

test("a GPU, by its number; its arithmetic", () => {
  expect(check({ device: "cuda" })).toMatchObject({ device: { kind: "cuda", index: 0 }, compute: "bf16" });
  expect(check({ device: "cuda:3", compute: "f32" })).toMatchObject({ device: { kind: "cuda", index: 3 }, compute: "f32" });
  for (const options of [{ device: "cuda:" }, { device: "cuda:-1" }, { device: "cuda:256" }, { device: "cuda", compute: "int8" }]) {
    expect(() => check(options)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  }
});

test("a GPU takes as many tokens a step as it keeps memory for, and few where windows hold pages for them", () => {
  const tokensOf = (hiddenSize: number, windows: boolean, device: "cpu" | "cuda" = "cuda", draft?: ModelSource) => {
    const source = fakeSource();
    source.spec.hiddenSize = hiddenSize;
    if (!windows) source.spec.cacheGroups = source.spec.cacheGroups.filter(({ kind }) => kind === "all");
    return checkedOptions({ device }, source, machine, draft).maxBatchTokens;
  };
  expect(tokensOf(4096, false, "cpu")).toBe(512);
  expect(tokensOf(4096, false)).toBe(4096); // 64 MiB of float32
  expect(tokensOf(4096, true)).toBe(1024);
  expect(tokensOf(60_000, false)).toBe(2048);
  expect(tokensOf(200_000, false)).toBe(1024);
  expect(tokensOf(4096, false, "cuda", fakeSource())).toBe(1024); // the draft's window
  expect(check({ device: "cuda", maxBatchTokens: 3 }).maxBatchTokens).toBe(3);
});

test("defaults follow the model and the processor", () => {
  expect(check(undefined)).toMatchObject({
    device: { kind: "cpu", isa: "avx2" },
    compute: "f32",
    kvType: "f16",
    maxContext: 256,
    maxBatchTokens: 512,
    prefixCache: true,
  });
  const computes = (type: TensorType) => {
    const source = fakeSource();
    source.tensors = [{ name: "embed", file: 0, offset: 0, type, shape: [1, 32], plusOne: false }];
    return (["avx2", "avx512_bf16"] as const).map((isa) => checkedOptions({}, source, { ...machine, isas: () => [isa] }).compute);
  };
  expect(computes("Q4_0")).toEqual(["int8", "int8"]);
  expect(computes("BF16")).toEqual(["f32", "bf16"]);
  expect(computes("F16")).toEqual(["f32", "f32"]);
});

const parts: CachePart[] = [
  { elements: 256, type: "kv" },
  { elements: 256, type: "kv" },
];
const gemma: CacheGroup[] = [
  { kind: "window", window: 512, layers: [0, 1, 2, 3, 4], parts },
  { kind: "all", window: 0, layers: [5], parts },
];
const memory = { usual: Math.floor(memoryBytes() / 4), most: Math.floor(memoryBytes() / 2) };
const request: PoolRequest = { asked: undefined, trained: 8192, bytes: undefined, memory, kvType: "f16", maxBatchTokens: 512 };
const token = Int32Array.of(7);
const bytesOf = (pages: number[]) => gemma.reduce((sum, group, g) => sum + pages[g]! * pageBytes(group, "f16"), 0);

test("a page has every part of its 16 tokens in each layer; kv parts are of the cache's type", () => {
  expect(pageBytes(gemma[0]!, "f16")).toBe(5 * 16 * 512 * 2);
  expect(pageBytes(gemma[0]!, "f32")).toBe(5 * 16 * 512 * 4);
  const mixed = [...parts, { elements: 3, type: "f32" as const }];
  expect(pageBytes({ ...gemma[1]!, parts: mixed }, "bf16")).toBe(16 * (512 * 2 + 3 * 4));
});

test("5 of 6 layers with a window of 512 at 8k context: at most 0.3 of a full cache", () => {
  const { pages, maxContext } = sizePools(gemma, request);
  const full = pages[1]! * 6 * pageBytes({ ...gemma[1]!, layers: [5] }, "f16");
  expect(maxContext).toBe(8192);
  expect(bytesOf(pages) / full).toBeLessThanOrEqual(0.3);
});

test("pools use the bytes given, and the context is cut to what they hold", () => {
  for (const bytes of [1e6, 5e6, 1e8, 3e8]) {
    const { pages, maxContext } = sizePools(gemma, { ...request, bytes });
    expect(bytesOf(pages)).toBeLessThanOrEqual(bytes);
    expect(bytesOf(pages)).toBeGreaterThan(bytes * 0.9 - 2e5);
    expect(maxContext).toBe(Math.min(8192, pages[1]! * 16));
  }
});

test("the default takes at most a quarter of the memory; an asked context is held once in up to half", () => {
  const long = { ...request, trained: 1e9 };
  const { pages, maxContext } = sizePools(gemma, long);
  expect(bytesOf(pages)).toBeLessThanOrEqual(memoryBytes() / 4);
  expect(maxContext).toBeLessThan(1e9);
  const context = Math.floor(memoryBytes() / 3 / pageBytes(gemma[1]!, "f16")) * 16;
  const asked = sizePools([gemma[1]!], { ...request, asked: context });
  expect(asked.maxContext).toBe(context);
});

test("256 short sequences run at once in windows, too: none preempts another while the other layers have room", () => {
  const { pages } = sizePools(gemma, { ...request, trained: 32_768, memory: { usual: 2 ** 40, most: 2 ** 40 } });
  expect(pages).toEqual([2048, 16_384]);
  const groups = gemma.map(({ kind, window }, g) => ({ kind, window, pages: pages[g]!, draft: false }));
  const sizes = { pageSize: PAGE_SIZE, maxBatchTokens: 512, maxSlots: MAX_SLOTS, maxContext: 32_768 };
  const scheduler = new Scheduler({ ...sizes, groups, prefixCache: false, modelId: "gemma" });
  const common = { priority: 0, output: "sample", cacheSalt: "", adapter: "", media: [], speculate: false } as const;
  for (let i = 0; i < MAX_SLOTS; i++) scheduler.add({ prompt: Int32Array.of(i, 1, 2, 3), maxTokens: 108, ...common });
  const plan = createPlan();
  while (scheduler.schedule(plan)) for (const { sequence } of plan.rows.slice(0, plan.rowCount)) scheduler.settle(sequence, token, 0, 1);
  expect(scheduler.stats()).toMatchObject({ running: MAX_SLOTS, waiting: 0, preemptions: 0 });
});

test("no more pages than all slots can use, however many bytes there are", () => {
  const { pages, maxContext } = sizePools(gemma, { ...request, trained: 1024, bytes: 2 ** 40 });
  expect([maxContext, pages]).toEqual([1024, [MAX_SLOTS * 64, MAX_SLOTS * 64]]);
  const windows = sizePools(gemma, { ...request, trained: 8192, bytes: 2 ** 40 }).pages[0];
  expect(windows).toBe(MAX_SLOTS * (1024 / 16 + 1));
});
