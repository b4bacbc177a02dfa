import { FEED_FORWARDS, type FeedForwardExtra } from "./feed-forwards/index.ts";
import type { TensorForm } from "./kinds.ts";
import type { TensorLayout, WantedTensor } from "./manifest.ts";
import { MIXERS, type MixerExtra } from "./mixers/index.ts";
import type { LayerSpec, ModelSpec } from "./spec.ts";

/**
 * The two dialects of tensor names that most architectures share. Kinds of mixers and feed-forwards name their own tensors, this file the
 * others; a family says which {@link Extra}s it has, and the names of those tensors that its files call otherwise.
 */

/** Groups of tensors that only some models have. */
export type Extra = MixerExtra | FeedForwardExtra | "sandwichNorms";

/** What a Hugging Face layout depends on. */
export interface HuggingFaceLayoutOptions {
  extras?: readonly Extra[];
  /** The embedding is the output matrix, too; an lm_head in the file is then a copy. */
  tied: boolean;
  /** Before every name of the decoder: "model.". */
  prefix?: string;
  /** Name of the output matrix. */
  head?: string;
  /** Names in this architecture's files of tensors within a layer, by their names in the model, where they are not the dialect's. */
  names?: Readonly<Record<string, string>>;
  ignored?: string;
  normsPlusOne?: boolean;
}

/** What a GGUF layout depends on. */
export interface GgufLayoutOptions {
  extras?: readonly Extra[];
  /** Extras that are there or not: the metadata does not say. */
  optional: readonly Extra[];
  ignored?: RegExp;
}

/** Tensors as in a Hugging Face file. */
export function huggingFaceLayout(spec: ModelSpec, options: HuggingFaceLayoutOptions): TensorLayout {
  const { extras = [], tied, prefix = "model.", head = "lm_head.weight", names = {}, normsPlusOne = false } = options;
  // Old files carry rope's frequencies, which the config determines.
  const ignored = ["rotary_emb\\.inv_freq$"];
  if (tied) ignored.push("(^|\\.)lm_head\\.weight$");
  if (options.ignored !== undefined) ignored.push(options.ignored);
  const tensors = wantedTensors(spec, {
    required: tied ? extras : [...extras, "untied"],
    optional: [],
    outerName: ({ name, huggingFace }) => (name === "lm_head" ? head : prefix + huggingFace),
    innerName: ({ name, huggingFace }, layer) => `${prefix}layers.${layer}.${names[name] ?? huggingFace}`,
  });
  return { tensors, ignored: new RegExp(ignored.join("|")), normsPlusOne };
}

/** Tensors as in a GGUF file: without an output matrix it is the embedding. */
export function ggufLayout(spec: ModelSpec, { extras = [], optional, ignored }: GgufLayoutOptions): TensorLayout {
  const tensors = wantedTensors(spec, {
    required: extras,
    optional: [...optional, "untied"],
    outerName: ({ gguf }) => gguf,
    innerName: ({ gguf }, layer) => `blk.${layer}.${gguf}`,
  });
  return { tensors, ignored, normsPlusOne: false };
}

/** Tensors outside layers. */
function outerTensors({ vocabSize, hiddenSize }: ModelSpec): TensorForm<"untied">[] {
  return [
    { name: "embed", shape: [vocabSize, hiddenSize], huggingFace: "embed_tokens.weight", gguf: "token_embd.weight" },
    { name: "final_norm", shape: [hiddenSize], huggingFace: "norm.weight", gguf: "output_norm.weight" },
    { name: "lm_head", shape: [vocabSize, hiddenSize], huggingFace: "lm_head.weight", gguf: "output.weight", extra: "untied" },
  ];
}

/** Tensors of a layer: its norms, those of its mixer and of its feed-forward. */
function layerTensors({ mixer, feedForward }: LayerSpec, hiddenSize: number): TensorForm<Extra>[] {
  const shape = [hiddenSize];
  return [
    { name: "attn_norm", shape, huggingFace: "input_layernorm.weight", gguf: "attn_norm.weight" },
    ...MIXERS[mixer.kind].tensors(mixer, hiddenSize),
    {
      name: "post_attn_norm",
      shape,
      huggingFace: "post_attention_layernorm.weight",
      gguf: "post_attention_norm.weight",
      extra: "sandwichNorms",
    },
    // Beside sandwich norms transformers gives this name to post_attn_norm; what it calls mlp_norm then, the family says.
    { name: "mlp_norm", shape, huggingFace: "post_attention_layernorm.weight", gguf: "ffn_norm.weight" },
    ...FEED_FORWARDS[feedForward.kind].tensors(feedForward, hiddenSize),
    {
      name: "post_mlp_norm",
      shape,
      huggingFace: "post_feedforward_layernorm.weight",
      gguf: "post_ffw_norm.weight",
      extra: "sandwichNorms",
    },
  ];
}

/** Which tensors a model has and what its files call them. */
interface Naming {
  required: readonly string[];
  optional: readonly string[];
  outerName: (tensor: TensorForm) => string;
  innerName: (tensor: TensorForm, layer: number) => string;
}

function wantedTensors(spec: ModelSpec, { required, optional, outerName, innerName }: Naming): WantedTensor[] {
  const want = (tensors: readonly TensorForm[], prefix: string, sourceOf: (tensor: TensorForm) => string): WantedTensor[] =>
    tensors
      .filter(({ extra }) => extra === undefined || required.includes(extra) || optional.includes(extra))
      .map((tensor) => ({
        name: prefix + tensor.name,
        source: sourceOf(tensor),
        shape: tensor.shape,
        optional: tensor.extra !== undefined && optional.includes(tensor.extra),
      }));
  return [
    ...want(outerTensors(spec), "", outerName),
    ...spec.layers.flatMap((layer, index) =>
      want(layerTensors(layer, spec.hiddenSize), `layers.${index}.`, (tensor) => innerName(tensor, index)),
    ),
  ];
}
