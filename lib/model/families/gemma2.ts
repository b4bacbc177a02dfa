import { bias, field, only } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { describeGemma, GEMMA_NAMES } from "./gemma.ts";

/**
 * Gemma 2: every other layer sees a window; norms before and after each half of a layer; soft caps of scores and logits; embeddings
 * scaled by sqrt(hidden size).
 */
export const gemma2: Family = denseFamily({
  name: "gemma2",
  modelTypes: ["gemma2"],
  fields: {
    vocab_size: field(256000),
    hidden_size: field(2304),
    intermediate_size: field(9216),
    num_hidden_layers: field(26),
    num_attention_heads: field(8),
    num_key_value_heads: field(4),
    head_dim: field(256),
    hidden_act: field("gelu_pytorch_tanh"),
    max_position_embeddings: field(8192),
    rms_norm_eps: field(1e-6),
    tie_word_embeddings: field(true),
    rope_theta: field(10000),
    query_pre_attn_scalar: field(256),
    attn_logit_softcapping: field(50),
    final_logit_softcapping: field(30),
    attention_bias: bias(false, "qkvBias", "outBias"),
    sliding_window: field(4096),
    layer_types: field(),
    use_bidirectional_attention: only(false),
  },
  fieldNames: { hidden_act: "hidden_activation" },
  gguf: {
    hidden_act: field("gelu_pytorch_tanh"),
    attn_logit_softcapping: field(50),
    final_logit_softcapping: field(30),
    sliding_window: field(4096),
  },
  names: GEMMA_NAMES,
  normsPlusOne: true,
  describe: (settings) => describeGemma(settings, { period: 2, slidingRope: 0, largest: 46 }),
});
