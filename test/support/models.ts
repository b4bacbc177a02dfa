import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { encodeFloats, type GgufInput, type MetadataValue, type TensorInput, writeJson, writeSafetensors } from "./files.ts";
import { randomIntegers } from "./mutants.ts";

/** Tiny models with random weights of any shape, as config.json and tensors or as GGUF. */

export type Architecture = "llama" | "qwen3" | "gemma2" | "gemma3";

export function isGemma(architecture: Architecture): boolean {
  return architecture.startsWith("gemma");
}

export interface ModelShape {
  architecture: Architecture;
  vocabSize: number;
  hiddenSize: number;
  layers: number;
  queryHeads: number;
  kvHeads: number;
  headSize: number;
  feedForwardSize: number;
  contextLength: number;
  tied: boolean;
  /** llama: biases everywhere. */
  bias: boolean;
  /** gemma2, gemma3: tokens that every other layer sees, or five of six. */
  window: number;
  /** gemma2: what scores are capped at. */
  softcap: number;
}

export const TINY: ModelShape = {
  architecture: "llama",
  vocabSize: 48,
  hiddenSize: 32,
  layers: 2,
  queryHeads: 4,
  kvHeads: 2,
  headSize: 8,
  feedForwardSize: 64,
  contextLength: 128,
  tied: false,
  bias: false,
  window: 16,
  softcap: 1,
};

/** What gemma2 caps logits at. */
export const LOGIT_CAP = 2;

/** The config.json of a shape. */
export function configOf(shape: ModelShape): Record<string, unknown> {
  const gemma = { query_pre_attn_scalar: shape.headSize, sliding_window: shape.window, hidden_activation: "gelu_pytorch_tanh" };
  const caps = { attn_logit_softcapping: shape.softcap, final_logit_softcapping: LOGIT_CAP };
  return {
    model_type: shape.architecture === "gemma3" ? "gemma3_text" : shape.architecture,
    vocab_size: shape.vocabSize,
    hidden_size: shape.hiddenSize,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.queryHeads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headSize,
    intermediate_size: shape.feedForwardSize,
    max_position_embeddings: shape.contextLength,
    rms_norm_eps: 1e-6,
    eos_token_id: 2,
    tie_word_embeddings: shape.tied,
    attention_bias: shape.bias,
    mlp_bias: shape.bias,
    ...(isGemma(shape.architecture) ? gemma : { hidden_act: "silu", rope_theta: 10000 }),
    ...(shape.architecture === "gemma2" ? caps : {}),
  };
}

/** Names of a tensor in a Hugging Face file and in GGUF, and its shape. */
interface NamedShape {
  huggingFace: string;
  gguf: string;
  shape: number[];
}

function outerTensors(shape: ModelShape): NamedShape[] {
  const matrix = [shape.vocabSize, shape.hiddenSize];
  const head = { huggingFace: "lm_head.weight", gguf: "output.weight", shape: matrix };
  return [
    { huggingFace: "model.embed_tokens.weight", gguf: "token_embd.weight", shape: matrix },
    { huggingFace: "model.norm.weight", gguf: "output_norm.weight", shape: [shape.hiddenSize] },
    ...(shape.tied ? [] : [head]),
  ];
}

function layerTensors(shape: ModelShape): [huggingFace: string, gguf: string, size: number[]][] {
  const { hiddenSize: hidden, feedForwardSize: size, headSize, architecture } = shape;
  const [q, kv] = [shape.queryHeads * headSize, shape.kvHeads * headSize];
  const matrices: [string, string, number, number][] = [
    ["self_attn.q_proj", "attn_q", q, hidden],
    ["self_attn.k_proj", "attn_k", kv, hidden],
    ["self_attn.v_proj", "attn_v", kv, hidden],
    ["self_attn.o_proj", "attn_output", hidden, q],
    ["mlp.gate_proj", "ffn_gate", size, hidden],
    ["mlp.up_proj", "ffn_up", size, hidden],
    ["mlp.down_proj", "ffn_down", hidden, size],
  ];
  const norms: [string, string, number][] = [["input_layernorm", "attn_norm", hidden]];
  if (isGemma(architecture)) {
    norms.push(["post_attention_layernorm", "post_attention_norm", hidden]);
    norms.push(["pre_feedforward_layernorm", "ffn_norm", hidden], ["post_feedforward_layernorm", "post_ffw_norm", hidden]);
  } else norms.push(["post_attention_layernorm", "ffn_norm", hidden]);
  if (architecture === "qwen3" || architecture === "gemma3")
    norms.push(["self_attn.q_norm", "attn_q_norm", headSize], ["self_attn.k_norm", "attn_k_norm", headSize]);
  return [
    ...matrices.map(([a, b, rows, columns]): [string, string, number[]] => [`${a}.weight`, `${b}.weight`, [rows, columns]]),
    ...(shape.bias ? matrices.map(([a, b, rows]): [string, string, number[]] => [`${a}.bias`, `${b}.bias`, [rows]]) : []),
    ...norms.map(([a, b, rows]): [string, string, number[]] => [`${a}.weight`, `${b}.weight`, [rows]]),
  ];
}

function allTensors(shape: ModelShape): NamedShape[] {
  const tensors = outerTensors(shape);
  for (let layer = 0; layer < shape.layers; layer++)
    for (const [huggingFace, gguf, size] of layerTensors(shape))
      tensors.push({ huggingFace: `model.layers.${layer}.${huggingFace}`, gguf: `blk.${layer}.${gguf}`, shape: size });
  return tensors;
}

/** Weights in (-1, 1) / sqrt(columns); norms' are near 1 (for gemma, which adds it, near 0). */
function weights(tensor: NamedShape, seed: number, normOffset: number): Float32Array {
  const random = randomIntegers(seed);
  const columns = tensor.shape.at(-1)!;
  const isNorm = tensor.gguf.includes("norm");
  const scale = isNorm ? 0.1 : columns ** -0.5;
  const offset = isNorm ? normOffset : 0;
  const count = tensor.shape.reduce((product, size) => product * size, 1);
  return Float32Array.from({ length: count }, () => offset + scale * (random(2 ** 16) / 2 ** 15 - 1));
}

/** Tensors as a Hugging Face file holds them. */
export function huggingFaceTensors(shape: ModelShape, type: "F32" | "F16" | "BF16" = "F32", seed: number = 1): TensorInput[] {
  const offset = isGemma(shape.architecture) ? 0 : 1;
  return allTensors(shape).map((tensor, index) => ({
    name: tensor.huggingFace,
    type,
    shape: tensor.shape,
    data: encodeFloats(type, weights(tensor, seed * 1000 + index, offset)),
  }));
}

/** A Hugging Face directory without a tokenizer. */
export async function writeModel(
  directory: string,
  shape: ModelShape,
  type: "F32" | "F16" | "BF16" = "F32",
  seed: number = 1,
): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeJson(join(directory, "config.json"), configOf(shape));
  await writeSafetensors(join(directory, "model.safetensors"), huggingFaceTensors(shape, type, seed));
}

/** A GGUF file without a tokenizer (its weights are not the twin's of {@link huggingFaceTensors}: q and k are not permuted). */
export function ggufModel(
  shape: ModelShape,
  type: "F32" | "F16" | "BF16" = "F32",
  seed: number = 1,
): GgufInput & { tensors: TensorInput[] } {
  const settings: Record<string, MetadataValue> = {
    block_count: shape.layers,
    context_length: shape.contextLength,
    embedding_length: shape.hiddenSize,
    feed_forward_length: shape.feedForwardSize,
    "attention.head_count": shape.queryHeads,
    "attention.head_count_kv": shape.kvHeads,
    "attention.key_length": shape.headSize,
    "attention.value_length": shape.headSize,
    "attention.layer_norm_rms_epsilon": 1e-6,
    "rope.freq_base": { type: "f32", value: shape.architecture === "gemma3" ? 1e6 : 1e4 },
    ...(isGemma(shape.architecture) ? { "attention.sliding_window": shape.window } : {}),
    ...(shape.architecture === "gemma2"
      ? { attn_logit_softcapping: { type: "f32", value: shape.softcap }, final_logit_softcapping: { type: "f32", value: LOGIT_CAP } }
      : {}),
  };
  const metadata: Record<string, MetadataValue> = { "general.architecture": shape.architecture };
  for (const [key, value] of Object.entries(settings)) metadata[`${shape.architecture}.${key}`] = value;
  return {
    metadata,
    tensors: allTensors(shape).map((tensor, index) => {
      // GGUF files hold vectors in float32, whatever the matrices' type.
      const stored = tensor.shape.length === 1 ? "F32" : type;
      return { name: tensor.gguf, type: stored, shape: tensor.shape, data: encodeFloats(stored, weights(tensor, seed * 1000 + index, 1)) };
    }),
  };
}
