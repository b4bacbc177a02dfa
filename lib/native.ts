import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { type ErrorCode, KvasirError } from "./errors.ts";
import type { ModelSpec, TensorRow } from "./model/spec.ts";

/**
 * The typed contract of the addon, and the only file that loads it. The native side checks every argument again: whatever is passed,
 * it answers with a result or with an error that has a {@link ErrorCode}. Buffers are copied in before a call returns, except those of
 * {@link StepBuffers} that are marked as results, which are written when the step's promise resolves.
 */

/** Instruction sets of the CPU back end, slowest first. */
export type Isa = "portable" | "avx2" | "avx512";
export type Compute = "f32" | "bf16" | "int8";
export type KvType = "f32" | "f16" | "bf16";

/** What an engine is made of: its model and the sizes fixed at start. */
export interface NativeConfig {
  spec: ModelSpec;
  files: { path: string; size: number }[];
  tensors: TensorRow[];
  isa: Isa;
  compute: Compute;
  kvType: KvType;
  /** Threads that compute, the engine's own included. */
  threads: number;
  pageSize: number;
  /** Pages of each cache group's pool. */
  pages: number[];
  maxSlots: number;
  maxBatchTokens: number;
  /** Positions are below this. */
  maxContext: number;
}

/** Sampling state that lives natively for as long as a sequence has its slot. Values are checked in params.ts and again natively. */
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
  biasValues: Float32Array;
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

/** What a row of a step gives back (the numbers of `RowOutput`). */
export const ROW_OUTPUT = { none: 0, sample: 1, logits: 2, score: 3 } as const;

/** Most alternatives that a log-probability lists. */
export const MAX_TOP_LOGPROBS = 20;

/**
 * One step as flat arrays (CSR), preallocated for the largest step. B rows, T tokens, G cache groups.
 *
 *     row b runs tokens[qIndptr[b] .. qIndptr[b+1]) at positions starts[b] + 0, 1, ...
 *     its pages in group g are kvPages[kvIndptr[g*(B+1) + b] .. kvIndptr[g*(B+1) + b+1]); the first of them is page number kvFirst[g*B + b]
 *     of the sequence, i.e. holds positions from kvFirst * pageSize on
 */
export interface StepBuffers {
  rowCount: number;
  /** [B] native slot. */
  slots: Int32Array;
  /** [B+1] */
  qIndptr: Int32Array;
  /** [B] position of the row's first token. */
  starts: Int32Array;
  /** [T] token ids; -1: the token that this row's slot sampled last. */
  tokens: Int32Array;
  /** [B] one of {@link ROW_OUTPUT}. */
  outputs: Int32Array;
  /** [B] score rows: the token after the row's last one, or -1 at the end of the text. */
  nextTokens: Int32Array;
  /** [B] score rows: 1 to return logits, too. */
  wantLogits: Int32Array;
  /** [G * (B+1)] */
  kvIndptr: Int32Array;
  /** [G * B] */
  kvFirst: Int32Array;
  kvPages: Int32Array;
  /** Result [B]: the sampled token; -1 where none was. */
  sampled: Int32Array;
  /** Result [B]: natural logarithm of the sampled token's probability under the raw logits, where the slot asks for it. */
  logprobs: Float32Array;
  /** Result [B * MAX_TOP_LOGPROBS]: the most probable tokens, best first. */
  topTokens: Int32Array;
  /** Result [B * MAX_TOP_LOGPROBS] */
  topLogprobs: Float32Array;
}

/** What a step returns beside the results in its buffers: rows of vocabulary size, for those who asked. */
export interface StepOutput {
  /** `logits` rows: [V], after penalties and bias. `score` rows with wantLogits: [count * V], raw. Key: row. */
  logits: Map<number, Float32Array>;
  /** `score` rows: [count]; entry t is the log-probability of the token after the row's token t (NaN at the end of the text). Key: row. */
  scores: Map<number, Float32Array>;
}

/** A token chosen from logits that a processor changed. */
export interface SampledToken {
  token: number;
  logprob: number;
  topTokens: Int32Array;
  topLogprobs: Float32Array;
}

/** Bytes and facts known once loaded. */
export interface NativeInfo {
  weightBytes: number;
  kvCacheBytes: number;
  /** Name of the processor. */
  processor: string;
}

/** One model on one device with its own thread: calls run in the order in which they were made. */
export interface NativeEngine {
  /** Reads and repacks the weights. `close()` meanwhile ends it with code CLOSED. Progress is in bytes of tensor data. */
  load(onProgress: (done: number, total: number) => void): Promise<NativeInfo>;
  /** Gives slot `slot` to a new sequence; takes effect in order with the steps. */
  setSlot(slot: number, config: SlotConfig): void;
  /** Runs one step. At most two may be under way. */
  step(buffers: StepBuffers): Promise<StepOutput>;
  /** Samples for a `logits` row of the slot from the changed logits [V]: temperature and what follows it. */
  sample(slot: number, logits: Float32Array): Promise<SampledToken>;
  /** Ends what runs (at the next layer) and frees everything; pending promises reject with CLOSED. */
  close(): Promise<void>;
}

/** The addon's exports. */
export interface NativeModule {
  Engine: new (config: NativeConfig) => NativeEngine;
  /** Instruction sets that this processor runs, slowest first. */
  isas(): Isa[];
}

let loaded: NativeModule | undefined;

/** The addon, loaded at first use. Throws ADDON_MISSING with the reasons. */
export function native(): NativeModule {
  if (loaded === undefined) {
    const require = createRequire(import.meta.url);
    try {
      loaded = require("node-gyp-build")(fileURLToPath(new URL("..", import.meta.url))) as NativeModule;
    } catch (cause) {
      throw new KvasirError(
        "ADDON_MISSING",
        `kvasir has no native addon for ${process.platform}-${process.arch}: ${(cause as Error).message}`,
        { cause },
      );
    }
  }
  return loaded;
}

/** An error of the addon as a KvasirError with the stack of who waits for it. */
export function nativeError(error: unknown): KvasirError {
  if (error instanceof KvasirError) return error;
  const { code, message } = error as { code?: ErrorCode; message?: string };
  return new KvasirError(code ?? "INTERNAL", message ?? String(error), { cause: error });
}
