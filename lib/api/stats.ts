/**
 * What an engine is, and what it does at the moment.
 *
 * @category Engine
 */
export interface EngineStats {
  /** Requests with at least one running sequence. */
  requestsRunning: number;
  /** Requests that wait for a slot and pages. */
  requestsWaiting: number;
  /** Sequences that gave their pages back for others and were computed again, so far. */
  preemptions: number;
  /** Pages that running requests hold. */
  pagesUsed: number;
  /** Pages that hold a prefix for later requests; they are given up when a request needs pages. */
  pagesCached: number;
  /** Pages of all pools, free ones included. */
  pagesTotal: number;
  /** The same by cache group: layers that see all (window 0), and those that see a window of tokens, have pools of their own, and so has a draft model. */
  groups: { kind: "all" | "window"; window: number; draft: boolean; pages: number; used: number; cached: number; pageBytes: number }[];
  /** Bytes of the repacked weights. */
  weightBytes: number;
  /** Bytes of all pages; memory is taken as pages are first used. */
  kvCacheBytes: number;
  /** Bytes of the used pages. */
  kvCacheUsedBytes: number;
  /** Share of prompt tokens that the prefix cache served, so far. */
  cacheHitRate: number;
  /** Mean number of sequences in a step, so far. */
  batchOccupancy: number;
  /** Share of guessed tokens that were right, so far; 0 if none was guessed. */
  acceptanceRate: number;
  /** Mean tokens that came at once where tokens were guessed, so far; 0 if none was. */
  acceptedLength: number;
  /** The device that runs the model. */
  device: "cpu" | "cuda";
  /** Instruction set, as chosen; of the CPU alone. */
  isa?: "portable" | "avx2" | "avx512" | "avx512_bf16" | "amx";
  /** Arithmetic of matrix products, as chosen. */
  compute: "f32" | "bf16" | "int8";
  /** Element type of the cache. */
  kvType: "f32" | "f16" | "bf16" | "fp8";
  /** Threads that compute; of the CPU alone. */
  threads?: number;
  /** Threads that were asked for, if a number was: more than may run at once are not made. */
  threadsRequested?: number;
  /** Tokens that a request may have, prompt and output. */
  maxContext: number;
  /** Tokens that the model was trained for. */
  contextLength: number;
  /** Name of the processor or GPU. */
  processor: string;
}
