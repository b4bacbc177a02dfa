import type { MixerKind, TensorForm } from "../kinds.ts";

/** Causal grouped-query attention. Biases are there when their tensors are. */
export interface AttentionSpec {
  kind: "attention";
  queryHeads: number;
  kvHeads: number;
  headSize: number;
  /** Factor on q·k before the softmax. */
  scale: number;
  /** Scores become softcap × tanh(score / softcap) before the softmax; 0: they don't. */
  softcap: number;
  /** Norms of q and k before the rope: one weight for every head, a weight over the whole row of heads, or a weight for each head. */
  qkNorm: "none" | "head" | "row" | "each";
  /** Index into the model's `ropes`; without one, nothing turns. */
  rope?: number | undefined;
  /** q × (1 + growth × ln(1 + floor(position / context))), after the rope: it keeps attention sharp over more keys than were trained. */
  queryGrowth?: { growth: number; context: number } | undefined;
  /** Index into the model's `cacheGroups`, which has the window. */
  cacheGroup: number;
}

/** What a family's attention may have beyond its matrices: biases of q, k and v, and of the output. */
export type AttentionExtra = "qkvBias" | "outBias";

/** Attention's tensors and cache. */
export const attention: MixerKind<AttentionSpec, AttentionExtra> = {
  tensors(spec, hiddenSize) {
    const [q, kv] = [spec.queryHeads * spec.headSize, spec.kvHeads * spec.headSize];
    return [
      { name: "q", shape: [q, hiddenSize], huggingFace: "self_attn.q_proj.weight", gguf: "attn_q.weight" },
      { name: "k", shape: [kv, hiddenSize], huggingFace: "self_attn.k_proj.weight", gguf: "attn_k.weight" },
      { name: "v", shape: [kv, hiddenSize], huggingFace: "self_attn.v_proj.weight", gguf: "attn_v.weight" },
      { name: "o", shape: [hiddenSize, q], huggingFace: "self_attn.o_proj.weight", gguf: "attn_output.weight" },
      { name: "q_bias", shape: [q], huggingFace: "self_attn.q_proj.bias", gguf: "attn_q.bias", extra: "qkvBias" },
      { name: "k_bias", shape: [kv], huggingFace: "self_attn.k_proj.bias", gguf: "attn_k.bias", extra: "qkvBias" },
      { name: "v_bias", shape: [kv], huggingFace: "self_attn.v_proj.bias", gguf: "attn_v.bias", extra: "qkvBias" },
      { name: "o_bias", shape: [hiddenSize], huggingFace: "self_attn.o_proj.bias", gguf: "attn_output.bias", extra: "outBias" },
      ...headNorms(spec, "q", spec.queryHeads),
      ...headNorms(spec, "k", spec.kvHeads),
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

/** `q_norm` or `k_norm`; where each head has its own, `q_norm.0`, `q_norm.1` and so on. */
function headNorms({ qkNorm, headSize }: AttentionSpec, which: "q" | "k", heads: number): TensorForm<AttentionExtra>[] {
  const [huggingFace, gguf] = [`self_attn.${which}_norm.weight`, `attn_${which}_norm.weight`];
  switch (qkNorm) {
    case "none":
      return [];
    case "head":
      return [{ name: `${which}_norm`, shape: [headSize], huggingFace, gguf }];
    case "row":
      return [{ name: `${which}_norm`, shape: [heads * headSize], huggingFace, gguf }];
    case "each":
      return Array.from({ length: heads }, (_, head) => ({
        name: `${which}_norm.${head}`,
        shape: [headSize],
        huggingFace: `self_attn.${which}_layernorm.norms.${head}.weight`,
        gguf: { source: gguf, shape: [heads, headSize], first: head },
      }));
  }
}
