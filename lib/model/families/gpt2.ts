import { field, only } from "../fields.ts";
import { fusedTransposed, type Names } from "../layouts.ts";
import type { DenseSizes } from "../sizes.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { fusedNames } from "./fused.ts";

/** GPT-2: LayerNorm, learned positions, a plain MLP with tanh GELU, biases everywhere; matrices lie transposed in transformers' files. */
export const gpt2: Family = denseFamily({
  name: "gpt2",
  modelTypes: ["gpt2"],
  fields: {
    vocab_size: field(50257),
    hidden_size: field(768),
    intermediate_size: field(),
    num_hidden_layers: field(12),
    num_attention_heads: field(12),
    hidden_act: field("gelu_new"),
    max_position_embeddings: field(1024),
    layer_norm_eps: field(1e-5),
    tie_word_embeddings: field(true),
    scale_attn_weights: only(true),
    scale_attn_by_inverse_layer_idx: only(false),
    add_cross_attention: only(false),
    reorder_and_upcast_attn: only(false, true),
  },
  fieldNames: {
    hidden_size: "n_embd",
    intermediate_size: "n_inner",
    num_hidden_layers: "n_layer",
    num_attention_heads: "n_head",
    hidden_act: "activation_function",
    max_position_embeddings: "n_positions",
    layer_norm_eps: "layer_norm_epsilon",
  },
  gguf: { hidden_act: field("gelu_new") },
  norm: "layer",
  feedForward: "plain",
  biases: ["qkvBias", "outBias", "mlpBias", "normBias"],
  learnedPositions: true,
  prefix: "transformer.",
  layerPrefix: "h",
  names: { huggingFace: namesOf, gguf: (sizes) => fusedNames(sizes, "attn_qkv.weight") },
  // Causal masks.
  ignored: "\\.attn\\.(masked_)?bias$",
});

function namesOf({ hiddenSize: hidden, feedForwardSize: inner }: DenseSizes): Names {
  return {
    embed: "wte.weight",
    final_norm: "ln_f.weight",
    attn_norm: "ln_1.weight",
    mlp_norm: "ln_2.weight",
    ...fusedTransposed("attn.c_attn.weight", hidden, { q: hidden, k: hidden, v: hidden }),
    ...fusedTransposed("attn.c_proj.weight", hidden, { o: hidden }),
    ...fusedTransposed("mlp.c_fc.weight", hidden, { up: inner }),
    ...fusedTransposed("mlp.c_proj.weight", inner, { down: hidden }),
  };
}
