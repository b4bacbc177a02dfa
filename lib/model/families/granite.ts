import { bias, field } from "../fields.ts";
import { denseFamily, SCALE } from "./dense-family.ts";
import type { Family } from "./family.ts";

/** Granite 3 and 4 dense: llama's form with factors on embeddings, scores, what a half of a layer adds, and logits. */
export const granite: Family = denseFamily({
  name: "granite",
  modelTypes: ["granite"],
  fields: {
    vocab_size: field(32000),
    hidden_size: field(4096),
    intermediate_size: field(11008),
    num_hidden_layers: field(32),
    num_attention_heads: field(32),
    num_key_value_heads: field(),
    head_dim: field(),
    hidden_act: field("silu"),
    max_position_embeddings: field(2048),
    rms_norm_eps: field(1e-6),
    tie_word_embeddings: field(false),
    rope_theta: field(10000),
    embedding_multiplier: field(1),
    residual_multiplier: field(1),
    attention_multiplier: field(1),
    logits_scaling: field(1),
    attention_bias: bias(false, "qkvBias", "outBias"),
    mlp_bias: bias(false, "mlpBias"),
  },
  gguf: {
    embedding_multiplier: field(1),
    residual_multiplier: field(1),
    attention_multiplier: field(),
    logits_scaling: field(1),
  },
  ggufNames: { logits_scaling: "logit_scale" },
  interleaved: ["gguf"],
  describe: ({ config }) => ({ logitScale: 1 / config.number("logits_scaling", SCALE) }),
});
