import { createRequire } from "node:module";
import { type ErrorCode, KvasirError } from "../errors.ts";
import type { ModelSpec, TensorRow } from "../model/spec.ts";
import { packageFolder } from "../package/folder.ts";
import { hostOf, whyMissing } from "../package/missing.ts";

/**
 * The typed contract of the addon, and the only file that loads it. The native side checks every argument again: whatever is passed,
 * it answers with a result or with an error that has a {@link ErrorCode}. Buffers are copied in before a call returns, except results
 * ({@link StepResults} and a step's `logits`), which are written when the call's promise resolves.
 */

/** Instruction sets of the CPU back end, slowest first. */
export type Isa = "portable" | "avx2" | "avx512" | "avx512_bf16" | "amx";
export type Compute = "f32" | "bf16" | "int8";
export type KvType = "f32" | "f16" | "bf16" | "fp8";

/** Where an engine computes, by kind. */
export interface CpuDevice {
  kind: "cpu";
  isa: Isa;
  /** Threads that compute, the engine's own included. */
  threads: number;
}

export interface CudaDevice {
  kind: "cuda";
  /** Which GPU, as the driver counts them. */
  index: number;
}

export type DeviceConfig = CpuDevice | CudaDevice;

/** A smaller model that guesses tokens for a larger one: what it has of its own. */
export interface DraftConfig {
  spec: ModelSpec;
  files: { path: string; size: number }[];
  tensors: TensorRow[];
  compute: Compute;
}

/**
 * What an engine is made of: its model, its device and the sizes fixed at start. With a draft model, the specs of both have the cache groups
 * of both, in the same order; a group has layers of one of them alone.
 */
export interface NativeConfig {
  spec: ModelSpec;
  files: { path: string; size: number }[];
  tensors: TensorRow[];
  device: DeviceConfig;
  compute: Compute;
  kvType: KvType;
  pageSize: number;
  /** Pages of each cache group's pool. */
  pages: number[];
  maxSlots: number;
  maxBatchTokens: number;
  /** Positions are below this. */
  maxContext: number;
  draft: DraftConfig | undefined;
}

/** Sampling state that lives natively for as long as a sequence has its slot. Values are checked in api/params.ts and again natively. */
export interface SlotConfig {
  temperature: number;
  topK: number;
  topP: number;
  minP: number;
  typicalP: number;
  repetitionPenalty: number;
  presencePenalty: number;
  frequencyPenalty: number;
  biasTokens: Int32Array;
  biasValues: Float64Array;
  /** Key of the sequence's own stream of random numbers; its place in it is the number of output tokens. */
  seed: bigint;
  /** While fewer output tokens than this, `endTokens` are not sampled. */
  minTokens: number;
  endTokens: Int32Array;
  /** Alternatives listed with each log-probability, 0 to 20; -1: no log-probabilities. */
  logprobs: number;
  /** Tokens so far, prompt then output (some output after a preemption). */
  tokens: Int32Array;
  promptLength: number;
}

/** Takes the largest of unchanged logits and reports nothing. */
export const PLAIN_SLOT: SlotConfig = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  biasTokens: new Int32Array(),
  biasValues: new Float64Array(),
  seed: 0n,
  minTokens: 0,
  endTokens: new Int32Array(),
  logprobs: -1,
  tokens: new Int32Array(),
  promptLength: 0,
};

/** What a row of a step gives back (the numbers of `RowOutput`; natively there is one more, for the passes of a draft model). */
export const ROW_OUTPUT = { none: 0, sample: 1, logits: 2, score: 3 } as const;

/**
 * In {@link StepResults} in place of a token, of outputs of every kind: the model's logits hold NaN or +Infinity, or none that is finite; or
 * those that a token was to be chosen from hold NaN or +Infinity.
 */
export const NOT_NUMBERS = -2;

/** Most alternatives that a log-probability lists. */
export const MAX_TOP_LOGPROBS = 20;

/** Results by output, in arrays that JavaScript makes: natively nothing is allocated that could not be had. */
export interface StepResults {
  /** The token; -1 where there is none, or {@link NOT_NUMBERS}. */
  sampled: Int32Array;
  /** Natural logarithm of the token's probability under the raw logits, where the slot asks for it; of score rows the next token's. */
  logprobs: Float32Array;
  /** The most probable tokens, best first, `MAX_TOP_LOGPROBS` places for each output; -1 where there are no more. */
  topTokens: Int32Array;
  topLogprobs: Float32Array;
}

/**
 * One step as flat arrays (CSR), preallocated for the largest step. B rows, T tokens, R outputs, G cache groups, P tokens of a page (16),
 * V vocabulary. Three rows in one cache group: a prompt's chunk, a decode whose token is still on the device, and a text that is scored:
 *
 *     rows        A: tokens 32..36 of a prompt     B: token at 20, sampled by the step before     C: tokens 0..2 of a text
 *     qIndptr     [0,                              5,                                             6,            9]
 *     starts      [32,                             20,                                            0]
 *     tokens      [t32 t33 t34 t35 t36,            -1,                                            t0 t1 t2]
 *     kinds       [none,                           sample,                                        score]
 *     outIndptr   [0,                              0,                                             1,            4]
 *     nextTokens  [-1,                             -1,                                            t3]
 *     kvIndptr    [0,                              3,                                             5,            6]
 *     kvPages     [7 2 9,                          4 1,                                           8]
 *
 * Row b runs tokens[qIndptr[b] .. qIndptr[b+1]) at positions starts[b] + 0, 1, ... Its outputs are [outIndptr[b] .. outIndptr[b+1]): those
 * of its last so many tokens. A `sample` row may have several: its last tokens but the first of these are then guesses, and an output counts
 * only while the one before it sampled the token that the row ran next; the others give -1.
 * Guesses may come from a draft model, which runs before, in its own cache groups: see {@link StepDrafts}. Rows need pages there only if it
 * runs tokens of them.
 * Its pages in group g are kvPages[kvIndptr[g*(B+1) + b] .. kvIndptr[g*(B+1) + b+1]); the first of them is page number kvFirst[g*B + b] of
 * the sequence, i.e. holds positions from kvFirst * P on. With more groups their tables follow each other.
 */
export interface StepBuffers extends StepResults {
  rowCount: number;
  /** [B] native slot. */
  slots: Int32Array;
  /** [B+1] */
  qIndptr: Int32Array;
  /** [B] position of the row's first token. */
  starts: Int32Array;
  /** [T] token ids; -1: the token that this row's slot sampled last; -2 - i: the i-th that was drafted for the row. */
  tokens: Int32Array;
  /** [B] one of {@link ROW_OUTPUT}. */
  kinds: Int32Array;
  /** [B+1] */
  outIndptr: Int32Array;
  /** [B] score rows: the token after the row's last one, or -1 at the end of the text. */
  nextTokens: Int32Array;
  /** [B] the row of `logits` where those of the row's outputs begin; -1: not wanted. `logits` rows always want them. */
  logitRows: Int32Array;
  /** [G * (B+1)] */
  kvIndptr: Int32Array;
  /** [G * B] */
  kvFirst: Int32Array;
  kvPages: Int32Array;
  /** Result [rows, V], made for the step that wants any: of `logits` rows after penalties and bias, of `score` rows raw. */
  logits: Float32Array | undefined;
  /** `undefined`: the draft model runs nothing. */
  drafts: StepDrafts | undefined;
}

/**
 * What the draft model runs before a step: row b's tokens[indptr[b] .. indptr[b+1]) at positions starts[b] + 0, 1, ..., of which its cache has
 * nothing yet. Then it samples counts[b] tokens, with the parameters, penalties and random numbers that the row's slot has at the positions
 * where they would stand; the slot is as before when the step itself begins. A row of two guesses whose last token is on the device:
 *
 *     positions of the row      20    21  22        starts [20],  outIndptr [0, 3]
 *     tokens                   [-1,   -2, -3]
 *     positions of the drafts   19 20               drafts.starts [19],  drafts.counts [2]
 *     drafts.tokens            [t19, -1]
 */
export interface StepDrafts {
  /** [B+1] */
  indptr: Int32Array;
  /** [B] */
  starts: Int32Array;
  /** -1: the token that the row's slot sampled last. */
  tokens: Int32Array;
  /** [B] at most as many as the row's outputs but one; then the tokens end where these begin. */
  counts: Int32Array;
}

/** Bytes and facts known once loaded. */
export interface NativeInfo {
  weightBytes: number;
  kvCacheBytes: number;
  /** Name of the processor. */
  processor: string;
}

/** One model on one device with threads of its own: calls run in the order in which they were made, and settle in that order. */
export interface NativeEngine {
  /** Reads and repacks the weights. `close()` meanwhile ends it with code CLOSED. Progress is in bytes of tensor data. */
  load(onProgress: (done: number, total: number) => void): Promise<NativeInfo>;
  /** Gives slot `slot` to a new sequence; takes effect in order with the steps. */
  setSlot(slot: number, config: SlotConfig): void;
  /**
   * Runs one step. At most two may be under way. `true`: the device has recorded something for it, so that it took longer than the next
   * of its size will.
   */
  step(buffers: StepBuffers): Promise<boolean>;
  /** Chooses the token of the slot's `logits` row from the changed logits [V]: temperature and what follows it. One output. */
  choose(slot: number, logits: Float32Array, results: StepResults): Promise<void>;
  /** Ends what runs (at the next layer) and frees everything; pending promises reject with CLOSED. */
  close(): Promise<void>;
}

/** The addon's exports. */
export interface NativeModule {
  Engine: new (config: NativeConfig) => NativeEngine;
  /** Instruction sets that this processor runs, slowest first. */
  isas(): Isa[];
  /** 0 without a driver, or in a build without CUDA. */
  gpuCount(): number;
  /** Of GPU `index`, at the moment; `undefined`: there is none, or this build does not run on it. Takes a context on it, and a while. */
  gpuFreeBytes(index: number): number | undefined;
}

/** Finds and loads a package's addon, among its prebuilt ones and its own build. */
interface Builds {
  (folder: string): NativeModule;
  path(folder: string): string;
}

let loaded: NativeModule | undefined;

function builds(): Builds {
  const require = createRequire(import.meta.url);
  return require("node-gyp-build") as Builds;
}

/** The addon, loaded at first use. Throws ADDON_MISSING with what helps. */
export function native(): NativeModule {
  if (loaded === undefined) {
    const folder = packageFolder();
    try {
      loaded = builds()(folder);
    } catch (cause) {
      throw new KvasirError("ADDON_MISSING", whyMissing(hostOf(process), (cause as Error).message), { cause });
    }
  }
  return loaded;
}

/** The file that {@link native} loads. */
export function addonPath(): string {
  return builds().path(packageFolder());
}

/** An error on the way to the addon or from it as a KvasirError with the stack of who waits for it. */
export function nativeError(error: unknown): KvasirError {
  if (error instanceof KvasirError) return error;
  const { code, message } = error as { code?: ErrorCode; message?: string };
  return new KvasirError(code ?? (isLackOfMemory(error) ? "OUT_OF_MEMORY" : "INTERNAL"), message ?? String(error), { cause: error });
}

/** How JavaScript says that an array could not be had. */
function isLackOfMemory(error: unknown): boolean {
  return error instanceof RangeError && /allocation failed|array length/i.test(error.message);
}
