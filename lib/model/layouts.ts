import { FEED_FORWARDS, type FeedForwardExtra } from "./feed-forwards/index.ts";
import type { Cut, TensorForm } from "./kinds.ts";
import type { TensorLayout, WantedTensor } from "./manifest.ts";
import { MIXERS, type MixerExtra } from "./mixers/index.ts";
import type { LayerSpec, ModelSpec } from "./spec.ts";

/**
 * The two dialects of tensor names that most architectures share. Kinds of mixers and feed-forwards name their own tensors, this file the
 * others; a family says which {@link Extra}s it has, and the names of those tensors that its files call otherwise.
 */

/** Groups of tensors that only some models have. */
export type Extra = MixerExtra | FeedForwardExtra | "normBias";

/** Norms of a layer, before and after its halves. */
export type NormName = "attn_norm" | "post_attn_norm" | "mlp_norm" | "post_mlp_norm";

/** Where an architecture's files have tensors, by their names in the model, where that is not the dialect's. A bias is where its weight is. */
export type Names = Readonly<Record<string, string | Cut>>;

/** What a model has of tensors that not all have. */
export interface ModelTensors {
  /** Norms of each layer. */
  norms: readonly NormName[];
  extras?: readonly Extra[];
  names?: Names;
}

/** What a Hugging Face layout depends on. */
export interface HuggingFaceTensors extends ModelTensors {
  /** The embedding is the output matrix, too; an lm_head in the file is then a copy. */
  tied: boolean;
  /** Before every name of the decoder. */
  prefix: string;
  /** Before the output matrix, which is outside of the decoder. */
  headPrefix: string;
  /** Before the number of a layer, after the prefix. */
  layers: string;
  ignored: readonly string[];
  normsPlusOne: boolean;
}

/** What a GGUF layout depends on. */
export interface GgufTensors extends ModelTensors {
  /** Extras that are there or not: the metadata does not say. */
  optional: readonly Extra[];
}

/** Tensors as in a Hugging Face file. */
export function huggingFaceLayout(spec: ModelSpec, options: HuggingFaceTensors): TensorLayout {
  const { extras = [], tied, prefix, headPrefix, names = {} } = options;
  // Old files carry rope's frequencies, which the config determines.
  const ignored = ["rotary_emb\\.inv_freq$", ...options.ignored];
  if (tied) ignored.push("(^|\\.)lm_head\\.weight$");
  const tensors = wantedTensors(spec, options.norms, {
    required: tied ? extras : [...extras, "untied"],
    optional: [],
    outerSource: (tensor) => within(tensor.name === "lm_head" ? headPrefix : prefix, sourceOf(tensor, "huggingFace", names)),
    innerSource: (tensor, layer) => within(`${prefix}${options.layers}.${layer}.`, sourceOf(tensor, "huggingFace", names)),
  });
  return { tensors, ignored: new RegExp(ignored.join("|")), normsPlusOne: options.normsPlusOne };
}

/** Tensors that a GGUF file's rope is made of: they are part of the spec. */
const ROPE_TENSORS = /^rope_(freqs|factors_long|factors_short)\.weight$/;

/** Tensors as in a GGUF file: without an output matrix it is the embedding. */
export function ggufLayout(spec: ModelSpec, { norms, extras = [], optional, names = {} }: GgufTensors): TensorLayout {
  const tensors = wantedTensors(spec, norms, {
    required: extras,
    optional: [...optional, "untied"],
    outerSource: (tensor) => sourceOf(tensor, "gguf", names),
    innerSource: (tensor, layer) => within(`blk.${layer}.`, sourceOf(tensor, "gguf", names)),
  });
  return { tensors, ignored: ROPE_TENSORS, normsPlusOne: false };
}

/** The parts of a tensor that holds several of the model's matrices one after the other: their names and rows. */
export function fused(source: string, columns: number, parts: Readonly<Record<string, number>>): Names {
  const rows = Object.values(parts).reduce((sum, count) => sum + count, 0);
  let first = 0;
  const cuts = Object.entries(parts).map(([name, count]): [string, Cut] => {
    const cut = { source, shape: [rows, columns], first };
    first += count;
    return [name, cut];
  });
  return Object.fromEntries(cuts);
}

/** The same of a tensor that lies transposed. */
export function fusedTransposed(source: string, columns: number, parts: Readonly<Record<string, number>>): Names {
  const cuts = Object.entries(fused(source, columns, parts) as Record<string, Cut>);
  return Object.fromEntries(
    cuts.map(([name, { shape, first }]) => [
      name,
      { source, shape: shape.toReversed(), first, layout: { kind: "transposed", stride: shape[0]! } },
    ]),
  );
}

function sourceOf(tensor: TensorForm, dialect: "huggingFace" | "gguf", names: Names): string | Cut {
  const own = names[tensor.name];
  if (own !== undefined) return own;
  const weight = names[tensor.name.replace(/_bias$/, "")];
  return weight === undefined ? tensor[dialect] : biasOf(weight);
}

/** Where the bias is of a matrix that is there. */
function biasOf(weight: string | Cut): string | Cut {
  const nameOf = (source: string): string => source.replace(/weight$/, "bias");
  if (typeof weight === "string") return nameOf(weight);
  const transposed = weight.layout?.kind === "transposed";
  const shape = [weight.shape[transposed ? 1 : 0]!];
  return { ...weight, source: nameOf(weight.source), shape, layout: transposed ? undefined : weight.layout };
}

function within(prefix: string, source: string | Cut): string | Cut {
  return typeof source === "string" ? prefix + source : { ...source, source: prefix + source.source };
}

/** Tensors outside layers. */
function outerTensors({ vocabSize, hiddenSize, learnedPositions }: ModelSpec): TensorForm<Extra | "untied">[] {
  const positions = {
    name: "position_embed",
    shape: [learnedPositions, hiddenSize],
    huggingFace: "wpe.weight",
    gguf: "position_embd.weight",
  };
  return [
    { name: "embed", shape: [vocabSize, hiddenSize], huggingFace: "embed_tokens.weight", gguf: "token_embd.weight" },
    ...(learnedPositions > 0 ? [positions] : []),
    ...withBias("final_norm", hiddenSize, "norm", "output_norm"),
    { name: "lm_head", shape: [vocabSize, hiddenSize], huggingFace: "lm_head.weight", gguf: "output.weight", extra: "untied" },
  ];
}

/** Names in both dialects; transformers calls post_attn_norm as it calls mlp_norm elsewhere: a family that has both says how. */
const NORMS: Readonly<Record<NormName, [huggingFace: string, gguf: string]>> = {
  attn_norm: ["input_layernorm", "attn_norm"],
  post_attn_norm: ["post_attention_layernorm", "post_attention_norm"],
  mlp_norm: ["post_attention_layernorm", "ffn_norm"],
  post_mlp_norm: ["post_feedforward_layernorm", "post_ffw_norm"],
};

function withBias(name: string, size: number, huggingFace: string, gguf: string): TensorForm<Extra>[] {
  return [
    { name, shape: [size], huggingFace: `${huggingFace}.weight`, gguf: `${gguf}.weight` },
    { name: `${name}_bias`, shape: [size], huggingFace: `${huggingFace}.bias`, gguf: `${gguf}.bias`, extra: "normBias" },
  ];
}

/** Tensors of a layer: its norms, those of its mixer and of its feed-forward. */
function layerTensors({ mixer, feedForward }: LayerSpec, hiddenSize: number, norms: readonly NormName[]): TensorForm<Extra>[] {
  const norm = (name: NormName): TensorForm<Extra>[] => {
    if (!norms.includes(name)) return [];
    const both = withBias(name, hiddenSize, ...NORMS[name]);
    return name.startsWith("post") ? both.slice(0, 1) : both;
  };
  return [
    ...norm("attn_norm"),
    ...MIXERS[mixer.kind].tensors(mixer, hiddenSize),
    ...norm("post_attn_norm"),
    ...norm("mlp_norm"),
    ...FEED_FORWARDS[feedForward.kind].tensors(feedForward, hiddenSize),
    ...norm("post_mlp_norm"),
  ];
}

/** Which tensors a model has and where its files have them. */
interface Naming {
  required: readonly string[];
  optional: readonly string[];
  outerSource: (tensor: TensorForm) => string | Cut;
  innerSource: (tensor: TensorForm, layer: number) => string | Cut;
}

function wantedTensors(spec: ModelSpec, norms: readonly NormName[], naming: Naming): WantedTensor[] {
  const { required, optional, outerSource, innerSource } = naming;
  const want = (tensors: readonly TensorForm[], prefix: string, source: (tensor: TensorForm) => string | Cut): WantedTensor[] =>
    tensors
      .filter(({ extra }) => extra === undefined || required.includes(extra) || optional.includes(extra))
      .map((tensor) => ({
        name: prefix + tensor.name,
        source: source(tensor),
        shape: tensor.shape,
        optional: tensor.extra !== undefined && optional.includes(tensor.extra) && !required.includes(tensor.extra),
      }));
  return [
    ...want(outerTensors(spec), "", outerSource),
    ...spec.layers.flatMap((layer, index) =>
      want(layerTensors(layer, spec.hiddenSize, norms), `layers.${index}.`, (tensor) => innerSource(tensor, index)),
    ),
  ];
}
