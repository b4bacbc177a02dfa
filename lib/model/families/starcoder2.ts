import { bias, field } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";

/** StarCoder 2: LayerNorm, a plain MLP with tanh GELU and biases, rope; windows in every layer of some. */
export const starcoder2: Family = denseFamily({
  name: "starcoder2",
  modelTypes: ["starcoder2"],
  fields: {
    vocab_size: field(49152),
    hidden_size: field(3072),
    intermediate_size: field(12288),
    num_hidden_layers: field(30),
    num_attention_heads: field(24),
    num_key_value_heads: field(2),
    head_dim: field(),
    hidden_act: field("gelu_pytorch_tanh"),
    max_position_embeddings: field(4096),
    layer_norm_eps: field(1e-5),
    tie_word_embeddings: field(true),
    rope_theta: field(10000),
    sliding_window: field(),
    use_bias: bias(true, "qkvBias", "outBias", "mlpBias"),
  },
  fieldNames: { layer_norm_eps: "norm_epsilon" },
  gguf: { hidden_act: field("gelu_pytorch_tanh") },
  norm: "layer",
  feedForward: "plain",
  biases: ["normBias"],
  names: { huggingFace: () => ({ up: "mlp.c_fc.weight", down: "mlp.c_proj.weight" }) },
});
