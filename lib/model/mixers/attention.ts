import type { MixerKind } from "../kinds.ts";

/** Causal grouped-query attention. Biases and norms on the heads of q and k are there when their tensors are. */
export interface AttentionSpec {
  kind: "attention";
  queryHeads: number;
  kvHeads: number;
  headSize: number;
  /** Factor on q·k before the softmax. */
  scale: number;
  /** Index into the model's `ropes`. */
  rope: number;
  /** Index into the model's `cacheGroups`, which has the window. */
  cacheGroup: number;
}

/** What a family's attention may have beyond its four matrices. */
export type AttentionExtra = "attentionBias" | "qkNorm";

/** Attention's tensors and cache. */
export const attention: MixerKind<AttentionSpec, AttentionExtra> = {
  tensors({ queryHeads, kvHeads, headSize }, hiddenSize) {
    const [q, kv] = [queryHeads * headSize, kvHeads * headSize];
    return [
      { name: "q", shape: [q, hiddenSize], huggingFace: "self_attn.q_proj.weight", gguf: "attn_q.weight" },
      { name: "k", shape: [kv, hiddenSize], huggingFace: "self_attn.k_proj.weight", gguf: "attn_k.weight" },
      { name: "v", shape: [kv, hiddenSize], huggingFace: "self_attn.v_proj.weight", gguf: "attn_v.weight" },
      { name: "o", shape: [hiddenSize, q], huggingFace: "self_attn.o_proj.weight", gguf: "attn_output.weight" },
      { name: "q_bias", shape: [q], huggingFace: "self_attn.q_proj.bias", gguf: "attn_q.bias", extra: "attentionBias" },
      { name: "k_bias", shape: [kv], huggingFace: "self_attn.k_proj.bias", gguf: "attn_k.bias", extra: "attentionBias" },
      { name: "v_bias", shape: [kv], huggingFace: "self_attn.v_proj.bias", gguf: "attn_v.bias", extra: "attentionBias" },
      { name: "o_bias", shape: [hiddenSize], huggingFace: "self_attn.o_proj.bias", gguf: "attn_output.bias", extra: "attentionBias" },
      { name: "q_norm", shape: [headSize], huggingFace: "self_attn.q_norm.weight", gguf: "attn_q_norm.weight", extra: "qkNorm" },
      { name: "k_norm", shape: [headSize], huggingFace: "self_attn.k_norm.weight", gguf: "attn_k_norm.weight", extra: "qkNorm" },
    ];
  },
  /** Keys, then values. */
  cacheParts({ kvHeads, headSize }) {
    return [
      { elements: kvHeads * headSize, type: "kv" },
      { elements: kvHeads * headSize, type: "kv" },
    ];
  },
};
