import { availableParallelism, totalmem } from "node:os";
import { checkBoolean, checkFunction, checkInteger, checkKeys, checkOneOf, checkSignal, MAX_COUNT } from "../check.ts";
import { KvasirError } from "../errors.ts";
import type { CacheGroup, ModelSource } from "../model/spec.ts";
import type { Compute, Isa, KvType } from "../native/addon.ts";

/** How an engine runs a model. Every field may be left out. */
export interface EngineOptions {
  /** `"auto"` takes the best device of this machine; this build has `"cpu"`. */
  device?: "auto" | "cpu" | "cuda";
  /** Threads that compute (as many as the machine runs at once, at most 64). */
  threads?: number;
  /** Instruction set (`"auto"`: the best of this processor). */
  isa?: "auto" | "portable" | "avx2" | "avx512";
  /** Arithmetic of matrix products: `"int8"` rounds activations to 8 bits where the weights are quantized (`"auto"`: int8 if any are, else f32). */
  compute?: "auto" | "f32" | "bf16" | "int8";
  /** Element type of the KV cache (`"f16"`). */
  kvType?: "f32" | "f16" | "bf16";
  /** Tokens that a request may have, prompt and output (what the model was trained for). Cut to what the cache holds; `stats().maxContext` says. */
  maxContext?: number;
  /** Bytes of the KV cache (8 requests of `maxContext`, at most a quarter of the memory). */
  kvCacheBytes?: number;
  /** Tokens that one step runs at most (512). */
  maxBatchTokens?: number;
  /** Requests share the pages of equal prefixes, also after their end (true). */
  prefixCache?: boolean;
  /** Ends loading, which rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Told while weights are loaded. */
  onProgress?: (progress: { loadedBytes: number; totalBytes: number }) => void;
}

/** {@link EngineOptions}, checked and complete for one model. */
export interface CheckedOptions {
  device: "cpu";
  threads: number;
  isa: Isa;
  compute: Compute;
  kvType: KvType;
  maxContext: number;
  /** Pages of each cache group's pool. */
  pages: number[];
  maxBatchTokens: number;
  prefixCache: boolean;
  signal: AbortSignal | undefined;
  onProgress: ((progress: { loadedBytes: number; totalBytes: number }) => void) | undefined;
}

/** Tokens of a page. */
export const PAGE_SIZE = 16;

/** Sequences that run at once. */
export const MAX_SLOTS = 256;

const KEYS: readonly (keyof EngineOptions)[] = [
  "device",
  "threads",
  "isa",
  "compute",
  "kvType",
  "maxContext",
  "kvCacheBytes",
  "maxBatchTokens",
  "prefixCache",
  "signal",
  "onProgress",
];

/** Checks every option and fills in defaults that depend on the model and the machine. `isas` are the processor's, slowest first. */
export function checkOptions(given: EngineOptions | undefined, source: ModelSource, isas: readonly Isa[]): CheckedOptions {
  const options = checkKeys<EngineOptions>("options", given, KEYS);
  const { signal, onProgress } = options;
  const kvType = checkOneOf("kvType", options.kvType ?? "f16", ["f32", "f16", "bf16"]);
  const maxBatchTokens = checkInteger("maxBatchTokens", options.maxBatchTokens ?? 512, 1, 65536);
  return {
    device: checkDevice(options.device ?? "auto"),
    threads: checkInteger("threads", options.threads ?? Math.min(availableParallelism(), 64), 1, 256),
    isa: checkIsa(options.isa ?? "auto", isas),
    compute: checkCompute(options.compute ?? "auto", source),
    kvType,
    ...sizePools(source.spec.cacheGroups, {
      asked: options.maxContext === undefined ? undefined : checkInteger("maxContext", options.maxContext, 1, 2 ** 30),
      trained: source.spec.contextLength,
      bytes: options.kvCacheBytes === undefined ? undefined : checkInteger("kvCacheBytes", options.kvCacheBytes, 1, totalmem()),
      kvType,
      maxBatchTokens,
    }),
    maxBatchTokens,
    prefixCache: checkBoolean("prefixCache", options.prefixCache ?? true),
    signal: signal === undefined ? undefined : checkSignal("signal", signal),
    onProgress: onProgress === undefined ? undefined : checkFunction("onProgress", onProgress),
  };
}

function checkDevice(device: unknown): "cpu" {
  if (checkOneOf("device", device, ["auto", "cpu", "cuda"]) === "cuda") {
    throw new KvasirError("UNSUPPORTED_DEVICE", 'device is "cuda", which this build of kvasir does not have; expected "auto" or "cpu"');
  }
  return "cpu";
}

function checkIsa(isa: unknown, isas: readonly Isa[]): Isa {
  const named = checkOneOf("isa", isa, ["auto", "portable", "avx2", "avx512", "amx"]);
  const found = named === "auto" ? isas.at(-1) : isas.find((candidate) => candidate === named);
  if (found === undefined) {
    throw new KvasirError(
      "UNSUPPORTED_DEVICE",
      `isa is "${named}", which this processor and build do not run; expected one of ${isas.join(", ")}`,
    );
  }
  return found;
}

function checkCompute(compute: unknown, source: ModelSource): Compute {
  const named = checkOneOf("compute", compute, ["auto", "f32", "bf16", "int8"]);
  if (named !== "auto") return named;
  const quantized = source.tensors.some(({ type }) => type !== "F32" && type !== "F16" && type !== "BF16");
  return quantized ? "int8" : "f32";
}

/** What the pools are sized from. */
export interface PoolRequest {
  /** The caller's `maxContext`. */
  asked: number | undefined;
  /** The model's. */
  trained: number;
  /** The caller's `kvCacheBytes`. */
  bytes: number | undefined;
  kvType: KvType;
  maxBatchTokens: number;
}

/** Bytes of one page: keys and values of each layer of the group. */
export function pageBytes(group: CacheGroup, kvType: KvType): number {
  return group.layers.length * 2 * group.kvHeads * group.headSize * PAGE_SIZE * (kvType === "f32" ? 4 : 2);
}

/** Sequences of full length that the default cache holds. */
const DEFAULT_SEQUENCES = 8;

/**
 * Pages of each group for the most tokens N whose pools fit the bytes. Groups that see all get N tokens. A sequence never holds more than its
 * window, one step and a page of a group with a window, so such a group gets that for each of max(8, N / maxContext) sequences, at most N.
 */
export function sizePools(groups: readonly CacheGroup[], request: PoolRequest): { pages: number[]; maxContext: number } {
  const context = request.asked ?? request.trained;
  const most = Math.ceil(context / PAGE_SIZE);
  const pagesFor = (tokenPages: number): number[] => groups.map((group) => groupPages(group, tokenPages, context, request.maxBatchTokens));
  const bytesFor = (tokenPages: number): number => {
    const pages = pagesFor(tokenPages);
    return groups.reduce((sum, group, g) => sum + pages[g]! * pageBytes(group, request.kvType), 0);
  };
  const budget = request.bytes ?? defaultBudget(bytesFor(most), bytesFor(most * DEFAULT_SEQUENCES), request.asked !== undefined);
  if (bytesFor(1) > budget) {
    throw new KvasirError("INVALID_ARGUMENT", `kvCacheBytes is ${budget}; expected at least ${bytesFor(1)}, one page of each cache group`);
  }
  const tokenPages = largest((n) => bytesFor(n) <= budget && Math.max(...pagesFor(n)) <= MAX_COUNT / PAGE_SIZE);
  return { pages: pagesFor(tokenPages), maxContext: Math.min(context, tokenPages * PAGE_SIZE) };
}

function groupPages(group: CacheGroup, tokenPages: number, context: number, maxBatchTokens: number): number {
  if (group.window === 0) return tokenPages;
  const sequences = Math.max(DEFAULT_SEQUENCES, Math.ceil((tokenPages * PAGE_SIZE) / context));
  return Math.min(tokenPages, sequences * (Math.ceil((group.window + maxBatchTokens) / PAGE_SIZE) + 1));
}

/** A quarter of the memory at most; for one sequence of a context that the caller asked for, half. */
function defaultBudget(oneSequence: number, allSequences: number, asked: boolean): number {
  const usual = Math.min(allSequences, Math.floor(totalmem() / 4));
  return asked ? Math.max(usual, Math.min(oneSequence, Math.floor(totalmem() / 2))) : usual;
}

/** The largest n >= 1 for which `fits` holds; it holds for 1. Above 2^40 no pool is that large. */
function largest(fits: (n: number) => boolean): number {
  let low = 1;
  let high = 2;
  while (fits(high) && high < 2 ** 40) [low, high] = [high, high * 2];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (fits(middle)) low = middle;
    else high = middle;
  }
  return low;
}
