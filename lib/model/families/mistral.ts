import { field } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";

/** Mistral: llama's form, with a window in every layer of its first files. Its GGUF files are llama's. */
export const mistral: Family = denseFamily({
  name: "mistral",
  modelTypes: ["mistral"],
  fields: {
    vocab_size: field(32000),
    hidden_size: field(4096),
    intermediate_size: field(14336),
    num_hidden_layers: field(32),
    num_attention_heads: field(32),
    num_key_value_heads: field(8),
    head_dim: field(),
    hidden_act: field("silu"),
    max_position_embeddings: field(131072),
    rms_norm_eps: field(1e-6),
    tie_word_embeddings: field(false),
    rope_theta: field(10000),
    sliding_window: field(4096),
  },
});
