import type { TensorLayout } from "./manifest.ts";
import type { TensorName } from "./spec.ts";

/**
 * The two dialects of tensor names that most architectures share. A family says by {@link TensorName} which tensors it has,
 * and gives those their own names that differ.
 */

const HUGGING_FACE_INNER = {
  attn_norm: "input_layernorm.weight",
  q: "self_attn.q_proj.weight",
  k: "self_attn.k_proj.weight",
  v: "self_attn.v_proj.weight",
  o: "self_attn.o_proj.weight",
  q_bias: "self_attn.q_proj.bias",
  k_bias: "self_attn.k_proj.bias",
  v_bias: "self_attn.v_proj.bias",
  o_bias: "self_attn.o_proj.bias",
  q_norm: "self_attn.q_norm.weight",
  k_norm: "self_attn.k_norm.weight",
  mlp_norm: "post_attention_layernorm.weight",
  gate: "mlp.gate_proj.weight",
  up: "mlp.up_proj.weight",
  down: "mlp.down_proj.weight",
  gate_bias: "mlp.gate_proj.bias",
  up_bias: "mlp.up_proj.bias",
  down_bias: "mlp.down_proj.bias",
} as const satisfies Record<TensorName, string>;

const GGUF_INNER = {
  attn_norm: "attn_norm.weight",
  q: "attn_q.weight",
  k: "attn_k.weight",
  v: "attn_v.weight",
  o: "attn_output.weight",
  q_bias: "attn_q.bias",
  k_bias: "attn_k.bias",
  v_bias: "attn_v.bias",
  o_bias: "attn_output.bias",
  q_norm: "attn_q_norm.weight",
  k_norm: "attn_k_norm.weight",
  post_attn_norm: "post_attention_norm.weight",
  mlp_norm: "ffn_norm.weight",
  gate: "ffn_gate.weight",
  up: "ffn_up.weight",
  down: "ffn_down.weight",
  gate_bias: "ffn_gate.bias",
  up_bias: "ffn_up.bias",
  down_bias: "ffn_down.bias",
  post_mlp_norm: "post_ffw_norm.weight",
} as const satisfies Record<TensorName, string>;

/** Tensors within a layer, by what they belong to. */
export const PARTS: Readonly<Record<"gatedDecoder" | "attentionBias" | "mlpBias" | "qkNorm" | "sandwichNorms", readonly TensorName[]>> = {
  gatedDecoder: ["attn_norm", "q", "k", "v", "o", "mlp_norm", "gate", "up", "down"],
  attentionBias: ["q_bias", "k_bias", "v_bias", "o_bias"],
  mlpBias: ["gate_bias", "up_bias", "down_bias"],
  qkNorm: ["q_norm", "k_norm"],
  sandwichNorms: ["post_attn_norm", "post_mlp_norm"],
};

/** What a Hugging Face layout depends on. */
export interface HuggingFaceLayoutOptions {
  /** Tensors of each layer. */
  parts: readonly TensorName[];
  /** The embedding is the output matrix, too; an lm_head in the file is then a copy. */
  tied: boolean;
  /** Before every name of the decoder: "model.". */
  prefix?: string;
  /** Name of the output matrix. */
  head?: string;
  /** Names of this architecture alone. */
  names?: Readonly<Record<TensorName, string>>;
  ignored?: string;
  normsPlusOne?: boolean;
}

/** Tensors as in a Hugging Face file. */
export function huggingFaceLayout(options: HuggingFaceLayoutOptions): TensorLayout {
  const { parts, tied, prefix = "model.", head = "lm_head.weight" } = options;
  const names: Record<TensorName, string> = { ...HUGGING_FACE_INNER, ...options.names };
  const outer = { embed: `${prefix}embed_tokens.weight`, final_norm: `${prefix}norm.weight` };
  // Old files carry rope's frequencies, which the config determines.
  const ignored = [
    "rotary_emb\\.inv_freq$",
    ...(tied ? ["(^|\\.)lm_head\\.weight$"] : []),
    ...(options.ignored === undefined ? [] : [options.ignored]),
  ];
  return {
    outer: tied ? outer : { ...outer, lm_head: head },
    layerPrefix: (layer) => `${prefix}layers.${layer}.`,
    inner: pick(names, parts),
    optional: new Set(),
    ignored: new RegExp(ignored.join("|")),
    normsPlusOne: options.normsPlusOne ?? false,
  };
}

/** Tensors as in a GGUF file: without an output matrix it is the embedding; biases are there or not, the metadata does not say. */
export function ggufLayout(parts: readonly TensorName[], optional: readonly TensorName[] = []): TensorLayout {
  return {
    outer: { embed: "token_embd.weight", final_norm: "output_norm.weight", lm_head: "output.weight" },
    layerPrefix: (layer) => `blk.${layer}.`,
    inner: pick(GGUF_INNER, [...parts, ...optional]),
    optional: new Set(["lm_head", ...optional]),
    normsPlusOne: false,
  };
}

function pick(names: Readonly<Record<TensorName, string>>, parts: readonly TensorName[]): Record<TensorName, string> {
  return Object.fromEntries(parts.map((part) => [part, names[part]!]));
}
