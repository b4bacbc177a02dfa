import { bias, field } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";

/** Seed-OSS: llama's form with biases of q, k and v. */
export const seedOss: Family = denseFamily({
  name: "seed_oss",
  modelTypes: ["seed_oss"],
  fields: {
    vocab_size: field(155136),
    hidden_size: field(4096),
    intermediate_size: field(27648),
    num_hidden_layers: field(64),
    num_attention_heads: field(80),
    num_key_value_heads: field(8),
    head_dim: field(128),
    hidden_act: field("silu"),
    max_position_embeddings: field(524288),
    rms_norm_eps: field(1e-6),
    tie_word_embeddings: field(false),
    rope_theta: field(10000),
    attention_bias: bias(true, "qkvBias"),
    attention_out_bias: bias(false, "outBias"),
    mlp_bias: bias(false, "mlpBias"),
  },
  gguf: {},
  // llama.cpp calls the norm before the MLP so.
  names: { gguf: () => ({ mlp_norm: "post_attention_norm.weight" }) },
});
