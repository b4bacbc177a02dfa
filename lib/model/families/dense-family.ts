import { type Config, LIMITS, type Range } from "../config.ts";
import { buildDense, type DenseForm, type LayerPlan } from "../dense.ts";
import type { Activation } from "../feed-forwards/gated.ts";
import { biasesOf, configOfFields, type Fields, metadataOfFields } from "../fields.ts";
import { type Extra, ggufLayout, huggingFaceLayout, type Names, type NormName } from "../layouts.ts";
import type { AttentionSpec } from "../mixers/attention.ts";
import { buildRope } from "../rope.ts";
import { type LayerRopes, type RopeParameters, ropesFromConfig, ropesFromGguf } from "../rope-settings.ts";
import { type DenseSizes, sizesOf } from "../sizes.ts";
import type { ModelSpec, RopeSpec } from "../spec.ts";
import type { Blueprint, Family, GgufModel, HuggingFaceModel } from "./family.ts";
import { planOf, windowOf } from "./windows.ts";

/** The two kinds of files. */
type Dialect = "huggingFace" | "gguf";

/** What a file says, in the form of the family's table. */
export interface Settings {
  dialect: Dialect;
  config: Config;
  sizes: DenseSizes;
  /** Whether the file has a tensor, by its name there without what stands before the layers' numbers. */
  hasTensor: (name: string) => boolean;
}

/** What follows from the settings and not from the table alone. All are as in most models where they are left out. */
export interface Described {
  norms?: readonly NormName[];
  qkNorm?: AttentionSpec["qkNorm"];
  parallel?: boolean;
  embeddingScale?: number;
  attentionScale?: number;
  logitScale?: number;
  queryGrowth?: AttentionSpec["queryGrowth"];
  /** Ropes are [that of layers that see all, that of windows]. */
  layers?: readonly LayerPlan[];
}

/** A dense architecture: its configuration class as a table, and how it differs from llama's form. */
export interface DenseFamily {
  /** The spec's `architecture`, and `general.architecture` in GGUF files. */
  name: string;
  modelTypes: readonly string[];
  fields: Fields;
  /** Names of fields in config.json where they are not those of most architectures. */
  fieldNames?: Readonly<Record<string, string>>;
  /** What its GGUF files say beyond those of all, and llama.cpp's constants for what they don't; without it there are no such files. */
  gguf?: Fields;
  /** Names of fields in its GGUF files where they are not those of most architectures. */
  ggufNames?: Readonly<Record<string, string>>;
  norm?: "rms" | "layer";
  feedForward?: "gated" | "plain";
  /** Biases that every such model has. */
  biases?: readonly Extra[];
  /** Where a rope's pairs are neighbours. */
  interleaved?: readonly Dialect[];
  learnedPositions?: boolean;
  /** Whether layers that see a window turn by a rope of their own. */
  ropePerLayerType?: boolean;
  /** Before the names of the decoder, by default "model.", and before the numbers of layers, by default "layers". */
  prefix?: string;
  layerPrefix?: string;
  names?: Partial<Record<Dialect, (sizes: DenseSizes) => Names>>;
  ignored?: string;
  normsPlusOne?: boolean;
  describe?: (settings: Settings) => Described;
}

/** The family of such a description. */
export function denseFamily(family: DenseFamily): Family {
  const { name, modelTypes, gguf } = family;
  const fromHuggingFace = (model: HuggingFaceModel): Blueprint => huggingFaceBlueprint(family, model);
  const fields = Object.keys(family.fields).map((key) => family.fieldNames?.[key] ?? key);
  if (gguf === undefined) return { name, modelTypes, fields, fromHuggingFace };
  return { name, modelTypes, fields, fromHuggingFace, fromGguf: (model) => ggufBlueprint(family, gguf, model) };
}

const PRE_NORMS: readonly NormName[] = ["attn_norm", "mlp_norm"];

/** The decoder within models that see images, and without anything around it. */
const PREFIXES = ["language_model.model.", "model.language_model.", ""];
const FOREIGN = "^(model\\.)?(image_newline$|(vision_tower|vision_model|multi_modal_projector)\\.)";

function huggingFaceBlueprint(family: DenseFamily, model: HuggingFaceModel): Blueprint {
  const config = configOfFields(model.config, family.fields, family.fieldNames);
  const { prefix: usual = "model.", layerPrefix = "layers", normsPlusOne = false } = family;
  const sizes = sizesOf(config, family.name);
  const names = family.names?.huggingFace?.(sizes) ?? {};
  const embed = typeof names.embed === "string" ? names.embed : "embed_tokens.weight";
  const prefix = [usual, ...PREFIXES].find((start) => model.hasTensor(start + embed)) ?? usual;
  const hasTensor = (name: string): boolean => model.hasTensor(`${prefix}${layerPrefix}.${name}`);
  const described = family.describe?.({ dialect: "huggingFace", config, sizes, hasTensor }) ?? {};
  const ropes = ropesFromConfig(config, sizes, family.ropePerLayerType ?? false);
  refuseShare(family, config, sizes, ropes);
  const spec = specOf(family, config, sizes, described, ropesOf(family, "huggingFace", ropes));
  const layout = huggingFaceLayout(spec, {
    norms: described.norms ?? PRE_NORMS,
    extras: [...(family.biases ?? []), ...biasesOf(config, family.fields)],
    names,
    tied: isTied(model, config),
    prefix,
    headPrefix: prefix === "language_model.model." ? "language_model." : "",
    layers: layerPrefix,
    ignored: family.ignored === undefined ? [FOREIGN] : [FOREIGN, family.ignored],
    normsPlusOne,
  });
  return { spec, layout };
}

/** A text half may leave it to the whole. */
function isTied({ config: stored, whole }: HuggingFaceModel, config: Config): boolean {
  const tied = config.boolean("tie_word_embeddings", false);
  return stored.has("tie_word_embeddings") ? tied : whole.boolean("tie_word_embeddings", tied);
}

function ggufBlueprint(family: DenseFamily, fields: Fields, model: GgufModel): Blueprint {
  const config = metadataOfFields(model.config, fields, family.ggufNames);
  const sizes = sizesOf(config, family.name, model.vocabSize);
  model.config.refuse({ "attention.value_length": [sizes.headSize] });
  const hasTensor = (name: string): boolean => model.hasTensor(`blk.${name}`);
  const described = family.describe?.({ dialect: "gguf", config, sizes, hasTensor }) ?? {};
  const ropes = ropesFromGguf(config, sizes.contextLength, sizes.headSize, model.ropeTensors);
  refuseShare(family, config, sizes, ropes);
  const spec = specOf(family, config, sizes, described, ropesOf(family, "gguf", ropes, model.ropeTensors.divisors));
  const layout = ggufLayout(spec, {
    norms: described.norms ?? PRE_NORMS,
    extras: family.biases ?? [],
    optional: ["qkvBias", "outBias", "mlpBias"],
    names: family.names?.gguf?.(sizes) ?? {},
  });
  return { spec, layout };
}

/** Turning a part of each head is for architectures that say so. */
function refuseShare({ fields }: DenseFamily, config: Config, { headSize }: DenseSizes, { full, sliding }: LayerRopes): void {
  const size = Math.min(full.size, sliding.size);
  if (size !== headSize && !("partial_rotary_factor" in fields))
    throw config.unsupported("partial_rotary_factor", size / headSize, "ropes over a part of each head in this architecture");
}

/** That of layers that see all, then that of windows. */
function ropesOf(
  { interleaved = [], learnedPositions }: DenseFamily,
  dialect: Dialect,
  { full, sliding }: LayerRopes,
  divisors?: Float32Array,
): RopeSpec[] {
  if (learnedPositions) return [];
  const build = (parameters: RopeParameters, by?: Float32Array): RopeSpec =>
    buildRope({ ...parameters, interleaved: interleaved.includes(dialect), divisors: by });
  return [build(full, divisors), build(sliding)];
}

// Published models have 1e-7 to 1e-5; with 0 a row of zeros would be divided by 0.
const EPSILON: Range = { min: 1e-12, max: 0.1 };
/** Of factors on embeddings, scores, logits and what a half of a layer adds. */
export const SCALE: Range = { min: 1e-6, max: 1e6 };
const CAP: Range = { min: 0, max: 1e6 };

function specOf(family: DenseFamily, config: Config, sizes: DenseSizes, described: Described, ropes: RopeSpec[]): ModelSpec {
  const { norm = "rms", feedForward = "gated", learnedPositions = false } = family;
  const layers = described.layers ?? allAlike(config, sizes.layers, learnedPositions ? undefined : 0);
  const used = new Set(layers.map(({ rope }) => rope));
  const form: DenseForm = {
    norm: { kind: norm, epsilon: config.number(norm === "rms" ? "rms_norm_eps" : "layer_norm_eps", EPSILON) },
    residual: described.parallel ? "parallel" : "sequential",
    feedForward: { kind: feedForward, activation: activationOf(config) },
    attention: {
      scale: described.attentionScale ?? config.number("attention_multiplier", SCALE, sizes.headSize ** -0.5),
      softcap: config.number("attn_logit_softcapping", CAP, 0),
      qkNorm: described.qkNorm ?? "none",
      queryGrowth: described.queryGrowth,
    },
    scales: scalesOf(config, described),
    learnedPositions: learnedPositions ? sizes.contextLength : 0,
    // A second rope only where layers turn by it.
    ropes: ropes.slice(0, used.has(1) ? 2 : 1),
    layer: (index) => layers[index]!,
  };
  return buildDense(sizes, form);
}

function scalesOf(config: Config, { embeddingScale, logitScale = 1 }: Described): DenseForm["scales"] {
  return {
    embeddingScale: embeddingScale ?? config.number("embedding_multiplier", SCALE, 1),
    residualScale: config.number("residual_multiplier", SCALE, 1),
    logitScale,
    logitSoftcap: config.number("final_logit_softcapping", CAP, 0),
  };
}

/** A window, where there is one, in every layer. */
function allAlike(config: Config, layers: number, rope: number | undefined): LayerPlan[] {
  const type = windowOf(config) > 0 ? "sliding_attention" : "full_attention";
  return planOf(config, Array(layers).fill(type), { full_attention: rope, sliding_attention: rope });
}

/** transformers' names of activations. */
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  silu: "silu",
  swish: "silu",
  gelu: "gelu",
  gelu_python: "gelu",
  gelu_new: "gelu_tanh",
  gelu_fast: "gelu_tanh",
  gelu_pytorch_tanh: "gelu_tanh",
};

function activationOf(config: Config): Activation {
  const name = config.string("hidden_act");
  if (!Object.hasOwn(ACTIVATIONS, name))
    throw config.unsupported("hidden_act", name, `this activation (${Object.keys(ACTIVATIONS).join(", ")} are known)`);
  return ACTIVATIONS[name]!;
}

/** A scale of attention that is the root of a size: gemma's `query_pre_attn_scalar`. */
export function scaleOfSize(config: Config, key: string): number {
  return config.number(key, { min: 1e-3, max: LIMITS.hiddenSize }) ** -0.5;
}
