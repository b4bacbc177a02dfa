import {
  checkBoolean,
  checkInteger,
  checkKeys,
  checkListener,
  checkNumber,
  checkOneOf,
  checkSignal,
  invalid,
  MAX_COUNT,
} from "../check.ts";
import { emitWarning, type KvasirWarning, type Warn } from "../errors.ts";
import { hasLevels, type ModelSource } from "../model/spec.ts";
import type { Compute, DeviceConfig, KvType } from "../native/addon.ts";
import { defaultBatchTokens } from "./batch-tokens.ts";
import { chooseDevice, type Machine } from "./device.ts";
import { cacheGroupsOf, KV_TYPES, sizePools } from "./pools.ts";
import { type CheckedSpeculate, checkSpeculate, copySpeculate, type SpeculateOptions } from "./speculate.ts";

/**
 * How an engine runs a model. Every field may be left out.
 *
 * @category Engine
 */
export interface EngineOptions {
  /** `"auto"` is the first NVIDIA GPU with room for the model, else the CPU; `"cuda:1"` the second GPU. GPUs only where kvasir was built for them. */
  device?: "auto" | "cpu" | "cuda" | `cuda:${number}`;
  /**
   * Threads that compute (one for each core, at most 64). No more than run at once, by affinity and control groups: `stats()` says how many.
   */
  threads?: number;
  /** Instruction set (`"auto"`: the best of this processor). */
  isa?: "auto" | "portable" | "avx2" | "avx512" | "avx512_bf16" | "amx";
  /**
   * Arithmetic of matrix products: `"int8"` rounds activations to 8 bits where the weights are quantized (but for F8_E4M3), `"bf16"` to bfloat16.
   * `"auto"`: bf16 on a GPU; int8 if any weights are so quantized; bf16 if any have that type and the instruction set is `avx512_bf16` or
   * `amx`; else f32.
   */
  compute?: "auto" | "f32" | "bf16" | "int8";
  /**
   * Element type of the KV cache (`"f16"`). `"fp8"` (E4M3 without scales; what is beyond ±448 becomes that) takes half the memory and keeps 3 bits
   * of each number's mantissa: see the guide to memory for what it costs.
   */
  kvType?: "f32" | "f16" | "bf16" | "fp8";
  /**
   * Tokens that a request may have, prompt and output (what the model was trained for). Cut to what the cache holds and to learned positions;
   * `stats().maxContext` says. Beyond a longrope's original context its long factors hold.
   */
  maxContext?: number;
  /** Bytes of the KV cache (8 requests of `maxContext`, at most a quarter of the memory, or nine tenths of what a GPU has left). */
  kvCacheBytes?: number;
  /** Tokens that one step runs at most (512; on a GPU 4096, less for very large models and 1024 for those whose layers see a window). */
  maxBatchTokens?: number;
  /** Milliseconds that a step is to take where streams wait for it: so much of a prompt runs beside them, by what steps took before (100). */
  maxStepMs?: number;
  /** Requests share the pages of equal prefixes, also after their end (true). */
  prefixCache?: boolean;
  /** Guesses tokens, to check several in one step where that is faster (nobody guesses). */
  speculate?: SpeculateOptions;
  /** Ends downloading, opening or loading, which rejects with the signal's reason. */
  signal?: AbortSignal;
  /** Called while a model's files are downloaded, and while its weights are loaded; the bytes are those of the phase. */
  onProgress?: (progress: { phase: "download" | "load"; loadedBytes: number; totalBytes: number }) => void;
  /** Called with what is read leniently, or left out, while the model is opened (`process.emitWarning`). */
  onWarning?: (warning: KvasirWarning) => void;
}

/** {@link EngineOptions}, checked and complete for one model. */
export interface CheckedOptions {
  device: DeviceConfig;
  threadsRequested: number | undefined;
  compute: Compute;
  /** The draft model's. */
  draftCompute: Compute | undefined;
  kvType: KvType;
  maxContext: number;
  /** Pages of each cache group's pool. */
  pages: number[];
  maxBatchTokens: number;
  maxStepMs: number;
  prefixCache: boolean;
  speculate: CheckedSpeculate | undefined;
  signal: AbortSignal | undefined;
  onProgress: EngineOptions["onProgress"];
}

/** Default of `maxStepMs`. Chosen: who reads a stream notices no gap of this length. */
const DEFAULT_STEP_MS = 100;

const KEYS: readonly (keyof EngineOptions)[] = [
  "device",
  "threads",
  "isa",
  "compute",
  "kvType",
  "maxContext",
  "kvCacheBytes",
  "maxBatchTokens",
  "maxStepMs",
  "prefixCache",
  "speculate",
  "signal",
  "onProgress",
  "onWarning",
];

/** The options as they are now: what the caller does to them while models are opened changes nothing. */
export function copyOptions(given: EngineOptions | undefined): EngineOptions {
  const options = checkKeys<EngineOptions>("options", given, KEYS);
  return options.speculate === undefined ? options : { ...options, speculate: copySpeculate(options.speculate) };
}

/** What is needed of the options while models are found and opened, before {@link checkOptions}. */
export interface OpeningOptions {
  speculate: CheckedSpeculate | undefined;
  warn: Warn;
  signal: AbortSignal | undefined;
  onProgress: EngineOptions["onProgress"];
}

/** Checks what is needed first of options whose names are known. */
export function optionsBeforeOpen({ speculate, signal, onProgress, onWarning = emitWarning }: EngineOptions): OpeningOptions {
  return {
    speculate: checkSpeculate(speculate),
    warn: checkListener("onWarning", onWarning),
    signal: signal === undefined ? undefined : checkSignal("signal", signal),
    onProgress: onProgress === undefined ? undefined : checkListener("onProgress", onProgress),
  };
}

/** What options are checked against. */
export interface OptionsContext {
  /** What {@link optionsBeforeOpen} made of them. */
  opening: OpeningOptions;
  source: ModelSource;
  /** The model that guesses. */
  draft: ModelSource | undefined;
  machine: Machine;
}

/** Checks every option (of those that {@link copyOptions} gave) and fills in defaults that depend on the models and the machine. */
export function checkOptions(options: EngineOptions, { opening, source, draft, machine }: OptionsContext): CheckedOptions {
  const { speculate, signal, onProgress } = opening;
  const kvType = checkOneOf("kvType", options.kvType ?? "f16", KV_TYPES);
  const models = draft === undefined ? [source] : [source, draft];
  const { device, threadsRequested, cacheBytes } = chooseDevice(options, machine, models);
  const maxBatchTokens = checkInteger("maxBatchTokens", options.maxBatchTokens ?? defaultBatchTokens(device, models), 1, 65536);
  const pools = sizePools(cacheGroupsOf(source, draft), {
    asked: options.maxContext === undefined ? undefined : askedContext(options.maxContext, source),
    trained: source.spec.contextLength,
    bytes: options.kvCacheBytes === undefined ? undefined : checkInteger("kvCacheBytes", options.kvCacheBytes, 1, cacheBytes.limit),
    memory: cacheBytes,
    kvType,
    maxBatchTokens,
  });
  const draftPositions = draft?.spec.learnedPositions || Infinity;
  if (pools.maxContext > draftPositions)
    throw invalid("maxContext", pools.maxContext, `at most ${draftPositions}, the positions that the draft model has learned`);
  return {
    device,
    threadsRequested,
    compute: checkCompute(options.compute ?? "auto", source, device),
    draftCompute: draft && checkCompute(options.compute ?? "auto", draft, device),
    kvType,
    ...pools,
    maxBatchTokens,
    maxStepMs: checkNumber("maxStepMs", options.maxStepMs ?? DEFAULT_STEP_MS, 1, MAX_COUNT),
    prefixCache: checkBoolean("prefixCache", options.prefixCache ?? true),
    speculate,
    signal,
    onProgress,
  };
}

/** No more than the positions that a model has learned, where it turns nothing. */
function askedContext(maxContext: unknown, { spec }: ModelSource): number {
  return Math.min(checkInteger("maxContext", maxContext, 1, 2 ** 30), spec.learnedPositions || Infinity);
}

/** `"auto"` is the fastest that the quality gate allows on the device. */
function checkCompute(compute: unknown, { tensors }: ModelSource, device: DeviceConfig): Compute {
  const named = checkOneOf("compute", compute, ["auto", "f32", "bf16", "int8"]);
  if (device.kind === "cuda" && named === "int8") throw invalid("compute", compute, '"auto", "bf16" or "f32" on device cuda');
  if (named !== "auto") return named;
  if (device.kind === "cuda") return "bf16";
  if (tensors.some(({ type }) => hasLevels(type))) return "int8";
  return (device.isa === "avx512_bf16" || device.isa === "amx") && tensors.some(({ type }) => type === "BF16") ? "bf16" : "f32";
}
