import { type Config, LIMITS, type Range } from "./config.ts";

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
}

const from1 = (max: number): Range => ({ min: 1, max });

/** Sizes of a config.json, or of metadata in the same form, by the names that transformers gives them. */
export function sizesOf(config: Config, architecture: string, vocabSize?: number): DenseSizes {
  const hiddenSize = config.integer("hidden_size", from1(LIMITS.hiddenSize));
  const queryHeads = config.uniform("num_attention_heads", from1(LIMITS.heads));
  const sizes = {
    architecture,
    vocabSize: vocabSize ?? config.integer("vocab_size", from1(LIMITS.vocabSize)),
    hiddenSize,
    layers: config.integer("num_hidden_layers", from1(LIMITS.layers)),
    queryHeads,
    kvHeads: config.uniform("num_key_value_heads", from1(queryHeads), queryHeads),
    headSize: config.integer("head_dim", from1(LIMITS.headSize), hiddenSize / queryHeads),
    feedForwardSize: config.uniform("intermediate_size", from1(LIMITS.feedForwardSize), 4 * hiddenSize),
    contextLength: config.integer("max_position_embeddings", from1(LIMITS.contextLength)),
  };
  const { kvHeads, headSize } = sizes;
  if (queryHeads % kvHeads !== 0)
    throw config.invalid(
      "num_key_value_heads",
      `is ${kvHeads}; expected a divisor of ${config.nameOf("num_attention_heads")}, ${queryHeads}`,
    );
  if (headSize % 2 !== 0) throw config.invalid("head_dim", `is ${headSize}; expected an even number`);
  return sizes;
}
