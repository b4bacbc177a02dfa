import { bias, field } from "../fields.ts";
import type { Cut } from "../kinds.ts";
import type { Names } from "../layouts.ts";
import type { DenseSizes } from "../sizes.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { fusedNames } from "./fused.ts";

/**
 * GPT-NeoX and Pythia: LayerNorm, a plain MLP, a rope over a part of each head, both halves of a layer side by side or one after the
 * other; q, k and v of each head lie together in transformers' files.
 */
export const gptNeox: Family = denseFamily({
  name: "gptneox",
  modelTypes: ["gpt_neox"],
  fields: {
    vocab_size: field(50432),
    hidden_size: field(6144),
    intermediate_size: field(24576),
    num_hidden_layers: field(44),
    num_attention_heads: field(64),
    hidden_act: field("gelu"),
    max_position_embeddings: field(2048),
    layer_norm_eps: field(1e-5),
    tie_word_embeddings: field(false),
    rope_theta: field(10000),
    partial_rotary_factor: field(0.25),
    use_parallel_residual: field(true),
    attention_bias: bias(true, "qkvBias", "outBias"),
  },
  fieldNames: { rope_theta: "rotary_emb_base", partial_rotary_factor: "rotary_pct" },
  gguf: { hidden_act: field("gelu"), use_parallel_residual: field(true) },
  norm: "layer",
  feedForward: "plain",
  biases: ["mlpBias", "normBias"],
  prefix: "gpt_neox.",
  names: { huggingFace: namesOf, gguf: (sizes) => fusedNames(sizes, "attn_qkv.weight") },
  // Causal masks.
  ignored: "\\.attention\\.(masked_)?bias$",
  describe: ({ config }) => ({ parallel: config.boolean("use_parallel_residual") }),
});

function namesOf({ hiddenSize, headSize }: DenseSizes): Names {
  const layout = { kind: "runs", run: headSize, stride: 3 * headSize } as const;
  const part = (index: number): Cut => {
    const source = "attention.query_key_value.weight";
    return { source, shape: [3 * hiddenSize, hiddenSize], first: index * headSize, layout };
  };
  return {
    embed: "embed_in.weight",
    final_norm: "final_layer_norm.weight",
    lm_head: "embed_out.weight",
    q: part(0),
    k: part(1),
    v: part(2),
    o: "attention.dense.weight",
    up: "mlp.dense_h_to_4h.weight",
    down: "mlp.dense_4h_to_h.weight",
  };
}
