import type { JsonObject } from "../files/json.ts";
import type { FeedForwardSpec } from "./feed-forwards/index.ts";
import type { CachePart, RowLayout } from "./kinds.ts";
import type { MixerSpec } from "./mixers/index.ts";

/**
 * A model is data: a {@link ModelSpec} says what the native decoder computes, a list of {@link TensorRow}s where its weights lie.
 * One decoder runs every spec; an architecture is a file in families/ that turns config.json or GGUF metadata into these types. What a layer
 * is made of comes in kinds, each with its spec and its tensors in a file of mixers/ or feed-forwards/.
 */

/**
 * Element types of weights. The quantized ones are GGUF's blocks (ggml-quants, "block_q8_0" and so on), but for F8_E4M3: safetensors have its
 * elements and {@link WeightScales} in two tensors, of which the loader makes blocks.
 */
export type TensorType =
  | "F32"
  | "F16"
  | "BF16"
  | "Q8_0"
  | "Q4_0"
  | "Q4_1"
  | "Q5_0"
  | "Q5_1"
  | "Q2_K"
  | "Q3_K"
  | "Q4_K"
  | "Q5_K"
  | "Q6_K"
  | "IQ4_NL"
  | "IQ4_XS"
  | "MXFP4"
  | "F8_E4M3";

/** Elements and bytes of one block of each type; a row of a matrix is a whole number of blocks. */
export const TENSOR_TYPES: Readonly<Record<TensorType, { block: number; bytes: number }>> = {
  F32: { block: 1, bytes: 4 },
  F16: { block: 1, bytes: 2 },
  BF16: { block: 1, bytes: 2 },
  Q8_0: { block: 32, bytes: 34 },
  Q4_0: { block: 32, bytes: 18 },
  Q4_1: { block: 32, bytes: 20 },
  Q5_0: { block: 32, bytes: 22 },
  Q5_1: { block: 32, bytes: 24 },
  Q2_K: { block: 256, bytes: 84 },
  Q3_K: { block: 256, bytes: 110 },
  Q4_K: { block: 256, bytes: 144 },
  Q5_K: { block: 256, bytes: 176 },
  Q6_K: { block: 256, bytes: 210 },
  IQ4_NL: { block: 32, bytes: 18 },
  IQ4_XS: { block: 256, bytes: 136 },
  MXFP4: { block: 32, bytes: 17 },
  F8_E4M3: { block: 64, bytes: 68 },
};

/** A rotary position embedding (RoFormer): pair i turns by position × frequencies[i]; cos and sin are multiplied by `scale` (yarn's attention factor). */
export interface RopeSpec {
  /** Radians per position, one for each rotated pair: [rotated dimensions / 2]. float32 natively, as all factors. */
  frequencies: Float64Array;
  /** longrope's frequencies of engines whose `maxContext` exceeds `beyond`. */
  long?: { beyond: number; frequencies: Float64Array };
  scale: number;
  /** true: dimensions (2i, 2i+1) are a pair, as in GGUF's llama; false: (i, i + rotated/2), as in Hugging Face's. */
  interleaved: boolean;
}

/**
 * Layers whose cache has the same lifetime and the same parts share a pool of pages: a page holds `pageSize` tokens of every layer of the
 * group.
 */
export interface CacheGroup {
  /** How long a token stays: as long as its request, or until no query sees it; then its page is given back while the request runs. */
  kind: "all" | "window";
  /** Tokens that a query sees, itself included; 0 where it sees all. */
  window: number;
  /** Layers of the group, in order. */
  layers: number[];
  /** What a token takes in each of the layers. */
  parts: CachePart[];
}

/** How a model norms: by the root of the mean square, or after taking the mean away. A norm's bias is there when its tensor is. */
export interface NormSpec {
  kind: "rms" | "layer";
  epsilon: number;
}

/**
 * One layer. Sequential: x += mixer(norm(x)); x += feedForward(norm(x)). Parallel: x += mixer(norm(x)) + feedForward(norm(x)), the second norm
 * being the first where it has no tensor. Else a norm without a tensor is none. Post-norms apply to what is added, where their tensors are.
 */
export interface LayerSpec {
  residual: "sequential" | "parallel";
  mixer: MixerSpec;
  feedForward: FeedForwardSpec;
}

/** What the native decoder computes. Sizes are element counts. */
export interface ModelSpec {
  architecture: string;
  vocabSize: number;
  hiddenSize: number;
  /** Positions that the model was trained for. */
  contextLength: number;
  norm: NormSpec;
  /** Factor on the embeddings (gemma: sqrt(hiddenSize), in float32). */
  embeddingScale: number;
  /** Factor on what a half of a layer adds. */
  residualScale: number;
  /** Factor on the logits. */
  logitScale: number;
  /** Logits become softcap × tanh(logit / softcap); 0: they don't. */
  logitSoftcap: number;
  /** Positions that have an embedding of their own, `position_embed`, which is added to the token's; 0: none. */
  learnedPositions: number;
  ropes: RopeSpec[];
  cacheGroups: CacheGroup[];
  layers: LayerSpec[];
}

/**
 * What the elements of a matrix in F8_E4M3 are multiplied with: a tensor of its own, a grid of one number for each block of rows and columns of
 * the file's matrix; the last blocks may have fewer.
 */
export interface WeightScales {
  /** The file's name of the matrix, for messages. */
  matrix: string;
  /** The file's name of these. */
  name: string;
  /** Index into {@link ModelSource.files}, and byte offset there. */
  file: number;
  offset: number;
  type: "F32" | "F16" | "BF16";
  blockRows: number;
  blockColumns: number;
  /** The row of the file's matrix that is the first of this one. */
  first: number;
}

/** Whether elements are levels, integer multiples of a scale, which compute int8 multiplies as such. */
export function hasLevels(type: TensorType): boolean {
  return TENSOR_TYPES[type].block > 1 && type !== "F8_E4M3";
}

/** One tensor in a file, or a part of one, checked against the file's length. */
export interface TensorRow {
  /** `embed`, `final_norm`, `lm_head` (absent when tied to embed); in a layer `layers.N.` and its name by layouts.ts or the layer's kinds. */
  name: string;
  /** Index into {@link ModelSource.files}. */
  file: number;
  /** Byte offset of the first element in the file. */
  offset: number;
  type: TensorType;
  /** [n] of a vector, [rows, columns] of a matrix (columns are contiguous: y = W x has `rows` outputs), [experts, rows, columns] of several. */
  shape: number[];
  /** The file holds w and the model multiplies by 1 + w (gemma's norms in Hugging Face files). */
  plusOne: boolean;
  /** Without one, rows lie one after the other. */
  layout?: RowLayout | undefined;
  /** Of a matrix in F8_E4M3. */
  scales?: WeightScales | undefined;
}

/**
 * Where the tokenizer is: its worker reads the file itself, so that a vocabulary is parsed off the event loop and held once. `config` is what a
 * tokenizer takes of tokenizer_config.json, if it was read already; `endTokens` are ids of the configs beside it, which are taken for control
 * tokens. A GGUF names its own.
 */
export type TokenizerSource =
  | { kind: "huggingface"; directory: string; config?: JsonObject; endTokens?: readonly number[] }
  | { kind: "gguf"; path: string };

/** Defaults that a model's generation_config.json gives to sampling parameters. */
export interface GenerationDefaults {
  temperature?: number;
  topK?: number;
  topP?: number;
  minP?: number;
  repetitionPenalty?: number;
}

/** What a model's files say about text; it can be had without the weights. */
export interface TextSource {
  /** For people and logs: the directory's or file's base name. */
  name: string;
  tokenizer: TokenizerSource | undefined;
  /** Jinja sources by name: `"default"`, and such as `"tool_use"`. Empty when the model has none. */
  chatTemplates: ReadonlyMap<string, string>;
}

/** A model as opened from its files: all that the engine needs to load it. */
export interface ModelSource extends TextSource {
  spec: ModelSpec;
  files: { path: string; size: number }[];
  tensors: TensorRow[];
  /** Ids at which generation ends, as configs and metadata name them; a tokenizer knows of more. */
  endTokens: number[];
  defaults: GenerationDefaults;
}
