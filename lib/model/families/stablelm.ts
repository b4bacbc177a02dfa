import { bias, field } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";

/**
 * StableLM 2: llama's form with LayerNorm and a rope over a part of each head; the 12B has a LayerNorm for each head of q and k, and both
 * halves of a layer read the same norm.
 */
export const stablelm: Family = denseFamily({
  name: "stablelm",
  modelTypes: ["stablelm"],
  fields: {
    vocab_size: field(50304),
    hidden_size: field(2560),
    intermediate_size: field(6912),
    num_hidden_layers: field(32),
    num_attention_heads: field(32),
    num_key_value_heads: field(32),
    head_dim: field(),
    hidden_act: field("silu"),
    max_position_embeddings: field(4096),
    layer_norm_eps: field(1e-5),
    tie_word_embeddings: field(false),
    rope_theta: field(10000),
    partial_rotary_factor: field(0.25),
    use_qkv_bias: bias(false, "qkvBias"),
    qk_layernorm: field(false),
    use_parallel_residual: field(false),
  },
  gguf: { use_parallel_residual: field(false) },
  norm: "layer",
  biases: ["normBias"],
  describe: ({ config, dialect, hasTensor }) => {
    // Of GGUF files the tensors tell, as to llama.cpp: some say that they are parallel and are not.
    const parallel = dialect === "gguf" ? !hasTensor("0.ffn_norm.weight") : config.boolean("use_parallel_residual");
    const normed = dialect === "gguf" ? hasTensor("0.attn_q_norm.weight") : config.boolean("qk_layernorm");
    return { parallel, qkNorm: normed ? "each" : "none", norms: parallel ? ["attn_norm"] : ["attn_norm", "mlp_norm"] };
  },
});
