import { bytesOfWeights } from "../model/manifest.ts";
import type { CacheGroup, ModelSource } from "../model/spec.ts";
import type { DeviceConfig, KvType } from "../native/addon.ts";
import { PAGE_SIZE, pageBytes, sequencePages, sizePools } from "./pools.ts";
import { smallestFitting } from "./search.ts";

/** What a model is to do at once. */
export interface Load {
  /** Requests. */
  batch: number;
  /** Tokens of each, prompt and output. */
  context: number;
  kvType: KvType;
  /** Tokens of a step. */
  maxBatchTokens: number;
}

/** Bytes that an engine takes. */
export interface Footprint {
  weights: number;
  cache: number;
  /** What a step computes with. */
  workspace: number;
}

/** Rows of logits that a step has at once (native/cpu/cpu_backend.cc). */
const LOGIT_ROWS = 32;

/** What a model takes under a load, by its files' headers alone. */
export function footprintOf(source: ModelSource, load: Load, device: DeviceConfig["kind"] = "cpu"): Footprint {
  return {
    weights: bytesOfWeights(source, device),
    cache: cacheBytesFor(source, load),
    workspace: workspaceBytes(source, load.maxBatchTokens),
  };
}

/** The least `kvCacheBytes` whose pools hold the load. */
function cacheBytesFor({ spec: { cacheGroups } }: ModelSource, load: Load): number {
  const tokenPages = load.batch * Math.ceil(load.context / PAGE_SIZE);
  // Enough, as no group needs more than pages for all tokens.
  const most = cacheGroups.reduce((sum, group) => sum + tokenPages * pageBytes(group, load.kvType), 0);
  return smallestFitting(most, (bytes) => poolsHold(cacheGroups, bytes, load));
}

function poolsHold(groups: readonly CacheGroup[], bytes: number, { batch, context, kvType, maxBatchTokens }: Load): boolean {
  // Where one page of each group is more, `sizePools` has nothing to share out.
  if (groups.reduce((sum, group) => sum + pageBytes(group, kvType), 0) > bytes) return false;
  const memory = { usual: bytes, most: bytes };
  const pools = sizePools(groups, { asked: context, trained: context, bytes, memory, kvType, maxBatchTokens });
  return groups.every((group, g) => pools.pages[g]! >= batch * sequencePages(group, context, maxBatchTokens));
}

/**
 * At most: for each token of a step the residual and all that a layer's matrices give, and for some tokens logits, in float32. On a GPU, where
 * some of it has 16 bits, it is less.
 */
export function workspaceBytes({ spec, tensors }: ModelSource, maxBatchTokens: number): number {
  const widths = new Map<string, number>();
  for (const { name, shape } of tensors) {
    const layer = /^layers\.\d+\./.exec(name)?.[0];
    if (layer !== undefined && shape.length > 1) widths.set(layer, (widths.get(layer) ?? 0) + shape.at(-2)!);
  }
  const floats = maxBatchTokens * (spec.hiddenSize + Math.max(0, ...widths.values())) + LOGIT_ROWS * (2 * spec.hiddenSize + spec.vocabSize);
  return floats * Float32Array.BYTES_PER_ELEMENT;
}
