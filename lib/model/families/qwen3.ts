import { bias, field, only } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { windowsOfQwen } from "./windows.ts";

/** Qwen 3: llama's form with RMS norms on each head of q and k before the rope, and where asked for, windows from some layer on. */
export const qwen3: Family = denseFamily({
  name: "qwen3",
  modelTypes: ["qwen3"],
  fields: {
    vocab_size: field(151936),
    hidden_size: field(4096),
    intermediate_size: field(22016),
    num_hidden_layers: field(32),
    num_attention_heads: field(32),
    num_key_value_heads: field(32),
    head_dim: field(128),
    hidden_act: field("silu"),
    max_position_embeddings: field(32768),
    rms_norm_eps: field(1e-6),
    tie_word_embeddings: field(false),
    rope_theta: field(10000),
    attention_bias: bias(false, "qkvBias", "outBias"),
    use_sliding_window: field(false),
    sliding_window: field(4096),
    max_window_layers: field(28),
    layer_types: field(),
  },
  gguf: { sliding_window: only(0) },
  describe: ({ config, sizes }) => ({ qkNorm: "head", layers: windowsOfQwen(config, sizes.layers) }),
});
