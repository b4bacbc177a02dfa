import { joinCacheGroup } from "./cache-groups.ts";
import type { FeedForwardSpec } from "./feed-forwards/index.ts";
import { type AttentionSpec, attention } from "./mixers/attention.ts";
import type { DenseSizes } from "./sizes.ts";
import type { CacheGroup, LayerSpec, ModelSpec } from "./spec.ts";

/** What differs between the layers of a dense model: a window (0: none), and a rope or none. */
export interface LayerPlan {
  window: number;
  rope: number | undefined;
}

/** What a dense model has beside its sizes. */
export interface DenseForm {
  norm: ModelSpec["norm"];
  residual: LayerSpec["residual"];
  feedForward: Pick<FeedForwardSpec, "kind" | "activation">;
  attention: Pick<AttentionSpec, "scale" | "softcap" | "qkNorm" | "queryGrowth">;
  scales: Pick<ModelSpec, "embeddingScale" | "residualScale" | "logitScale" | "logitSoftcap">;
  learnedPositions: number;
  ropes: ModelSpec["ropes"];
  layer: (index: number) => LayerPlan;
}

/** A spec of attention and MLPs whose layers differ in nothing but window and rope. */
export function buildDense(sizes: DenseSizes, form: DenseForm): ModelSpec {
  const { queryHeads, kvHeads, headSize } = sizes;
  const cacheGroups: CacheGroup[] = [];
  const layers: LayerSpec[] = [];
  for (let index = 0; index < sizes.layers; index++) {
    const { window, rope } = form.layer(index);
    const mixer = { kind: "attention", queryHeads, kvHeads, headSize, ...form.attention, rope } as const;
    const cacheGroup = joinCacheGroup(cacheGroups, index, window, attention.cacheParts(mixer));
    layers.push({
      residual: form.residual,
      mixer: { ...mixer, cacheGroup },
      feedForward: { ...form.feedForward, size: sizes.feedForwardSize },
    });
  }
  return {
    architecture: sizes.architecture,
    vocabSize: sizes.vocabSize,
    hiddenSize: sizes.hiddenSize,
    contextLength: sizes.contextLength,
    norm: form.norm,
    ...form.scales,
    learnedPositions: form.learnedPositions,
    ropes: form.ropes,
    cacheGroups,
    layers,
  };
}
