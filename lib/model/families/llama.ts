import { bias, field } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";

/**
 * Llama 1 to 3 and what shares their form: RMS norms before each half of a layer, rope, gated SiLU. GGUF files of mistral say so, too,
 * and mixtral's, which are refused by their experts; the converter permutes the rows of q and k so that a rope's pairs are neighbours.
 */
export const llama: Family = denseFamily({
  name: "llama",
  modelTypes: ["llama"],
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
    attention_bias: bias(false, "qkvBias", "outBias"),
    mlp_bias: bias(false, "mlpBias"),
  },
  gguf: {},
  interleaved: ["gguf"],
});
