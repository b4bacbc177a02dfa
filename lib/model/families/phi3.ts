import { field } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { fusedNames } from "./fused.ts";

/** Phi 3 and 4: llama's form with q, k, v and gate, up each in one matrix, and longrope: factors of the frequencies for contexts beyond the first. */
export const phi3: Family = denseFamily({
  name: "phi3",
  modelTypes: ["phi3"],
  fields: {
    vocab_size: field(32064),
    hidden_size: field(3072),
    intermediate_size: field(8192),
    num_hidden_layers: field(32),
    num_attention_heads: field(32),
    num_key_value_heads: field(),
    head_dim: field(),
    hidden_act: field("silu"),
    max_position_embeddings: field(4096),
    rms_norm_eps: field(1e-5),
    tie_word_embeddings: field(false),
    rope_theta: field(10000),
    original_max_position_embeddings: field(4096),
    partial_rotary_factor: field(1),
    sliding_window: field(),
  },
  gguf: {},
  names: {
    huggingFace: (sizes) => fusedNames(sizes, "self_attn.qkv_proj.weight", "mlp.gate_up_proj.weight"),
    gguf: (sizes) => fusedNames(sizes, "attn_qkv.weight", "ffn_up.weight"),
  },
});
