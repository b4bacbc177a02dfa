import { bias, field } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { fusedGate } from "./fused.ts";

/**
 * GLM 4 (0414): norms before and after each half of a layer, a rope over a part of each head whose pairs are neighbours, gate and up in one
 * matrix.
 */
export const glm4: Family = denseFamily({
  name: "glm4",
  modelTypes: ["glm4"],
  fields: {
    vocab_size: field(151552),
    hidden_size: field(4096),
    intermediate_size: field(13696),
    num_hidden_layers: field(40),
    num_attention_heads: field(32),
    num_key_value_heads: field(2),
    head_dim: field(128),
    hidden_act: field("silu"),
    max_position_embeddings: field(131072),
    rms_norm_eps: field(1.5625e-7),
    tie_word_embeddings: field(false),
    rope_theta: field(10000),
    partial_rotary_factor: field(0.5),
    attention_bias: bias(true, "qkvBias"),
  },
  gguf: {},
  interleaved: ["huggingFace", "gguf"],
  names: {
    huggingFace: (sizes) => ({
      ...fusedGate(sizes, "mlp.gate_up_proj.weight"),
      post_attn_norm: "post_self_attn_layernorm.weight",
      post_mlp_norm: "post_mlp_layernorm.weight",
    }),
    gguf: (sizes) => fusedGate(sizes, "ffn_up.weight"),
  },
  describe: () => ({ norms: ["attn_norm", "post_attn_norm", "mlp_norm", "post_mlp_norm"] }),
});
