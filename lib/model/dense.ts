import { joinCacheGroup } from "./cache-groups.ts";
import { type Config, LIMITS, type Range } from "./config.ts";
import type { GatedSpec } from "./feed-forwards/gated.ts";
import { attention } from "./mixers/attention.ts";
import type { CacheGroup, LayerSpec, ModelSpec, RopeSpec } from "./spec.ts";

/** Sizes of a model whose layers are all alike, whatever its files call them. */
export interface DenseSizes {
  architecture: string;
  vocabSize: number;
  hiddenSize: number;
  layers: number;
  queryHeads: number;
  kvHeads: number;
  headSize: number;
  feedForwardSize: number;
  contextLength: number;
  normEpsilon: number;
}

/** What a family adds to its sizes. */
export interface DenseOptions {
  activation: GatedSpec["activation"];
  ropes: RopeSpec[];
  /** Factor on q·k; headSize^-0.5 by default. */
  attentionScale?: number;
  /** 1 by default. */
  embeddingScale?: number;
  /** Window and rope of a layer; by default all layers see everything through the first rope. */
  layer?: (index: number) => { window: number; rope: number };
}

/** A spec of attention and gated MLPs whose layers differ in nothing but window and rope. */
export function buildDense(sizes: DenseSizes, options: DenseOptions): ModelSpec {
  const { queryHeads, kvHeads, headSize } = sizes;
  const scale = options.attentionScale ?? headSize ** -0.5;
  const cacheGroups: CacheGroup[] = [];
  const layers: LayerSpec[] = [];
  for (let index = 0; index < sizes.layers; index++) {
    const { window, rope } = options.layer?.(index) ?? { window: 0, rope: 0 };
    const mixer = { kind: "attention", queryHeads, kvHeads, headSize, scale, rope } as const;
    const cacheGroup = joinCacheGroup(cacheGroups, index, window, attention.cacheParts(mixer));
    layers.push({
      mixer: { ...mixer, cacheGroup },
      feedForward: { kind: "gated", size: sizes.feedForwardSize, activation: options.activation },
    });
  }
  return {
    architecture: sizes.architecture,
    vocabSize: sizes.vocabSize,
    hiddenSize: sizes.hiddenSize,
    contextLength: sizes.contextLength,
    normEpsilon: sizes.normEpsilon,
    embeddingScale: options.embeddingScale ?? 1,
    ropes: options.ropes,
    cacheGroups,
    layers,
  };
}

/** What config.json may leave out, by transformers' configuration class of the architecture. A size without a default is required. */
export interface ConfigDefaults {
  vocabSize?: number;
  hiddenSize?: number;
  layers?: number;
  queryHeads?: number;
  /** By default as many as query heads. */
  kvHeads?: number;
  /** By default hidden size / query heads. */
  headSize?: number;
  feedForwardSize?: number;
  contextLength: number;
}

// Published models have 1e-6 or 1e-5; with 0 a row of zeros would be divided by 0.
const EPSILON: Range = { min: 1e-12, max: 0.1 };
const from1 = (max: number): Range => ({ min: 1, max });

/** Sizes by the names that transformers gives them in most architectures. */
export function sizesFromConfig(config: Config, architecture: string, defaults: ConfigDefaults): DenseSizes {
  const hiddenSize = config.integer("hidden_size", from1(LIMITS.hiddenSize), defaults.hiddenSize);
  const queryHeads = config.integer("num_attention_heads", from1(LIMITS.heads), defaults.queryHeads);
  const sizes = {
    architecture,
    vocabSize: config.integer("vocab_size", from1(LIMITS.vocabSize), defaults.vocabSize),
    hiddenSize,
    layers: config.integer("num_hidden_layers", from1(LIMITS.layers), defaults.layers),
    queryHeads,
    kvHeads: config.integer("num_key_value_heads", from1(queryHeads), defaults.kvHeads ?? queryHeads),
    headSize: config.integer("head_dim", from1(LIMITS.headSize), defaults.headSize ?? hiddenSize / queryHeads),
    feedForwardSize: config.integer("intermediate_size", from1(LIMITS.feedForwardSize), defaults.feedForwardSize),
    contextLength: config.integer("max_position_embeddings", from1(LIMITS.contextLength), defaults.contextLength),
    normEpsilon: config.number("rms_norm_eps", EPSILON, 1e-6),
  };
  return checkHeads(sizes, config, { queryHeads: "num_attention_heads", kvHeads: "num_key_value_heads", headSize: "head_dim" });
}

/** Sizes by the names that llama.cpp gives them in every architecture. */
export function sizesFromGguf(config: Config, architecture: string, vocabSize: number): DenseSizes {
  const hiddenSize = config.integer("embedding_length", from1(LIMITS.hiddenSize));
  const queryHeads = config.uniform("attention.head_count", from1(LIMITS.heads));
  const headSize = config.integer("attention.key_length", from1(LIMITS.headSize), hiddenSize / queryHeads);
  config.refuse({ "attention.value_length": [headSize], "rope.dimension_count": [headSize] });
  const sizes = {
    architecture,
    vocabSize,
    hiddenSize,
    layers: config.integer("block_count", from1(LIMITS.layers)),
    queryHeads,
    kvHeads: config.uniform("attention.head_count_kv", from1(queryHeads), queryHeads),
    headSize,
    feedForwardSize: config.uniform("feed_forward_length", from1(LIMITS.feedForwardSize)),
    contextLength: config.integer("context_length", from1(LIMITS.contextLength)),
    normEpsilon: config.number("attention.layer_norm_rms_epsilon", EPSILON),
  };
  return checkHeads(sizes, config, {
    queryHeads: "attention.head_count",
    kvHeads: "attention.head_count_kv",
    headSize: "attention.key_length",
  });
}

function checkHeads(sizes: DenseSizes, config: Config, keys: Record<"queryHeads" | "kvHeads" | "headSize", string>): DenseSizes {
  const { queryHeads, kvHeads, headSize } = sizes;
  if (queryHeads % kvHeads !== 0)
    throw config.invalid(keys.kvHeads, `is ${kvHeads}; expected a divisor of ${keys.queryHeads}, ${queryHeads}`);
  if (headSize % 2 !== 0) throw config.invalid(keys.headSize, `is ${headSize}; expected an even number`);
  return sizes;
}
