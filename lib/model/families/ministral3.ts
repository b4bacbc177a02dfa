import { type Config, LIMITS } from "../config.ts";
import { field } from "../fields.ts";
import type { AttentionSpec } from "../mixers/attention.ts";
import { ropeObjectOf } from "../rope-settings.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";

const YARN = {
  rope_type: "yarn",
  rope_theta: 1e6,
  factor: 16,
  original_max_position_embeddings: 16384,
  beta_fast: 32,
  beta_slow: 1,
  mscale: 1,
  mscale_all_dim: 1,
  llama_4_scaling_beta: 0.1,
};

/** Ministral 3: llama's form with a yarn rope, and queries that grow with their position (as in Llama 4). Its GGUF form is not tested. */
export const ministral3: Family = denseFamily({
  name: "mistral3",
  modelTypes: ["ministral3"],
  fields: {
    vocab_size: field(131072),
    hidden_size: field(4096),
    intermediate_size: field(14336),
    num_hidden_layers: field(34),
    num_attention_heads: field(32),
    num_key_value_heads: field(8),
    head_dim: field(128),
    hidden_act: field("silu"),
    max_position_embeddings: field(262144),
    rms_norm_eps: field(1e-5),
    tie_word_embeddings: field(false),
    rope_theta: field(10000),
    rope_parameters: field(YARN),
    sliding_window: field(),
  },
  gguf: { llama_4_scaling_beta: field(0), mscale_all_dim: field(0) },
  interleaved: ["gguf"],
  describe: ({ config, dialect }) => ({
    queryGrowth: dialect === "gguf" ? growthOf(config, "rope.scaling.original_context_length") : growthInside(config),
  }),
});

function growthInside(config: Config): AttentionSpec["queryGrowth"] {
  const parameters = ropeObjectOf(config);
  return parameters && growthOf(parameters, "original_max_position_embeddings");
}

function growthOf(config: Config, context: string): AttentionSpec["queryGrowth"] {
  const growth = config.number("llama_4_scaling_beta", { min: 0, max: 1e3 }, 0);
  return growth === 0 ? undefined : { growth, context: config.integer(context, { min: 1, max: LIMITS.contextLength }) };
}
