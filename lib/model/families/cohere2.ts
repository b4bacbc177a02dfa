import { bias, field } from "../fields.ts";
import { denseFamily, SCALE } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { periodicTypes, planOf } from "./windows.ts";

/**
 * Command R7B and A: LayerNorm without bias, which both halves of a layer read side by side; three of four layers see a window and turn, the
 * others see everything and nothing turns in them; the logits are scaled.
 */
export const cohere2: Family = denseFamily({
  name: "cohere2",
  modelTypes: ["cohere2"],
  fields: {
    vocab_size: field(256000),
    hidden_size: field(8192),
    intermediate_size: field(22528),
    num_hidden_layers: field(40),
    num_attention_heads: field(64),
    num_key_value_heads: field(),
    head_dim: field(),
    hidden_act: field("silu"),
    max_position_embeddings: field(8192),
    layer_norm_eps: field(1e-5),
    tie_word_embeddings: field(true),
    rope_theta: field(10000),
    logit_scale: field(0.0625),
    attention_bias: bias(false, "qkvBias", "outBias"),
    sliding_window: field(4096),
    sliding_window_pattern: field(4),
    layer_types: field(),
  },
  gguf: { logit_scale: field(), sliding_window: field() },
  norm: "layer",
  interleaved: ["huggingFace", "gguf"],
  describe: ({ config, sizes }) => ({
    parallel: true,
    norms: ["attn_norm"],
    logitScale: config.number("logit_scale", SCALE),
    layers: planOf(config, periodicTypes(config, sizes.layers, 4), { full_attention: undefined, sliding_attention: 0 }),
  }),
});
