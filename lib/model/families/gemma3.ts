import { bias, field, only } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { describeGemma, GEMMA_NAMES } from "./gemma.ts";

/**
 * Gemma 3: as Gemma 2 without its caps, with norms on the heads of q and k; five of six layers see a window and turn by a rope of their
 * own. `gemma3` is the model that sees images, `gemma3_text` its text half.
 */
export const gemma3: Family = denseFamily({
  name: "gemma3",
  modelTypes: ["gemma3_text"],
  fields: {
    vocab_size: field(262208),
    hidden_size: field(2304),
    intermediate_size: field(9216),
    num_hidden_layers: field(26),
    num_attention_heads: field(8),
    num_key_value_heads: field(4),
    head_dim: field(256),
    hidden_act: field("gelu_pytorch_tanh"),
    max_position_embeddings: field(131072),
    rms_norm_eps: field(1e-6),
    tie_word_embeddings: field(true),
    rope_theta: field(1e6),
    query_pre_attn_scalar: field(256),
    attn_logit_softcapping: field(null),
    final_logit_softcapping: field(null),
    attention_bias: bias(false, "qkvBias", "outBias"),
    sliding_window: field(4096),
    layer_types: field(),
    _sliding_window_pattern: field(),
    use_bidirectional_attention: only(false),
    sliding_window_pattern: field(),
    rope_local_base_freq: field(10000),
  },
  fieldNames: { hidden_act: "hidden_activation" },
  gguf: {
    hidden_act: field("gelu_pytorch_tanh"),
    rope_theta: field(1e6),
    rope_local_base_freq: field(10000),
  },
  names: GEMMA_NAMES,
  normsPlusOne: true,
  ropePerLayerType: true,
  describe: (settings) => ({ ...describeGemma(settings, { period: 6, slidingRope: 1, largest: 62 }), qkNorm: "head" }),
});
