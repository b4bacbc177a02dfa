import { type Config, LIMITS } from "../config.ts";
import { buildDense, type DenseSizes, sizesFromConfig, sizesFromGguf } from "../dense.ts";
import { type Extra, ggufLayout, huggingFaceLayout } from "../layouts.ts";
import { buildRope, ROPE_BASE, type RopeParameters, ropeFromConfig, ropeFromGguf, ropeFromParameters } from "../rope.ts";
import type { ModelSpec } from "../spec.ts";
import type { Blueprint, Family, GgufModel, HuggingFaceModel } from "./family.ts";
import { CONFIG_FEATURES, GGUF_FEATURES } from "./features.ts";
import { type LayerType, layerTypes, periodicLayerTypes } from "./windows.ts";

/**
 * Gemma 3: most layers see a window and turn by a rope of their own, every sixth sees everything; norms before and after each half of a
 * layer and on the heads of q and k; embeddings scaled by sqrt(hidden size). `gemma3` wraps the text model beside a vision tower.
 */
export const gemma3: Family = { name: "gemma3", modelTypes: ["gemma3", "gemma3_text"], fromHuggingFace, fromGguf };

/** Gemma3TextConfig's: published configs leave out what equals them. */
const DEFAULTS = {
  vocabSize: 262208,
  hiddenSize: 2304,
  layers: 26,
  queryHeads: 8,
  kvHeads: 4,
  headSize: 256,
  feedForwardSize: 9216,
  contextLength: 131072,
};
const WINDOW = 4096;
const PERIOD = 6;
const FULL_BASE = 1e6;
const SLIDING_BASE = 1e4;

/** What differs between the two kinds of layers. */
interface Gemma3Layers {
  types: LayerType[];
  window: number;
  full: RopeParameters;
  sliding: RopeParameters;
}

function fromHuggingFace({ config: whole, hasTensor }: HuggingFaceModel): Blueprint {
  const config = whole.object("text_config") ?? whole;
  config.refuse({ ...CONFIG_FEATURES, hidden_activation: ["gelu_pytorch_tanh"], hidden_act: ["gelu_pytorch_tanh"] });
  const sizes = sizesFromConfig(config, "gemma3", DEFAULTS);
  const period = config.integer("_sliding_window_pattern", { min: 1, max: LIMITS.layers }, PERIOD);
  const types =
    layerTypes(config, sizes.layers) ??
    periodicLayerTypes(sizes.layers, config.integer("sliding_window_pattern", { min: 1, max: LIMITS.layers }, period));
  const window = config.integer("sliding_window", { min: 1, max: LIMITS.contextLength }, WINDOW);
  const attentionScale = config.number("query_pre_attn_scalar", { min: 1e-3, max: 1e6 }, DEFAULTS.headSize) ** -0.5;
  const prefix = ["model.", "language_model.model.", "model.language_model."].find((start) => hasTensor(`${start}embed_tokens.weight`));
  const spec = buildSpec(sizes, { types, window, ...ropesFromConfig(config, sizes.contextLength) }, attentionScale);
  const extras: Extra[] = ["qkNorm", "sandwichNorms"];
  if (config.boolean("attention_bias", false)) extras.push("attentionBias");
  return {
    spec,
    layout: huggingFaceLayout(spec, {
      extras,
      tied: config.boolean("tie_word_embeddings", whole.boolean("tie_word_embeddings", true)),
      prefix: prefix ?? "model.",
      head: prefix === "language_model.model." ? "language_model.lm_head.weight" : "lm_head.weight",
      names: { mlp_norm: "pre_feedforward_layernorm.weight" },
      ignored: "^(model\\.)?(vision_tower|multi_modal_projector)\\.",
      normsPlusOne: true,
    }),
  };
}

/** Today one object per kind of layer; before, `rope_theta` and `rope_scaling` for full layers and `rope_local_base_freq` for the others. */
function ropesFromConfig(config: Config, contextLength: number): { full: RopeParameters; sliding: RopeParameters } {
  const inside = config.object("rope_parameters");
  const full = inside?.object("full_attention");
  const sliding = inside?.object("sliding_attention");
  const fullBase = config.number("rope_theta", ROPE_BASE, FULL_BASE);
  const slidingBase = config.number("rope_local_base_freq", ROPE_BASE, SLIDING_BASE);
  return {
    full: full ? ropeFromParameters(full, { base: fullBase, contextLength }) : ropeFromConfig(config, { base: FULL_BASE, contextLength }),
    sliding: sliding
      ? ropeFromParameters(sliding, { base: slidingBase, contextLength })
      : { base: slidingBase, scaling: { type: "default" } },
  };
}

/** The converter adds the 1 to norms; it keeps neither the pattern of windows nor an attention scale other than the head size's. */
function fromGguf({ config, vocabSize }: GgufModel): Blueprint {
  config.refuse(GGUF_FEATURES);
  const sizes = sizesFromGguf(config, "gemma3", vocabSize);
  const window = config.integer("attention.sliding_window", { min: 0, max: LIMITS.contextLength }, 0);
  const period = config.integer("attention.sliding_window_pattern", { min: 1, max: LIMITS.layers }, PERIOD);
  // A window of 0 is none: as if every layer were a full one.
  const types = periodicLayerTypes(sizes.layers, window === 0 ? 1 : period);
  const full = ropeFromGguf(config, { base: FULL_BASE, contextLength: sizes.contextLength });
  const slidingBase = config.number("rope.freq_base_swa", ROPE_BASE, SLIDING_BASE);
  const sliding: RopeParameters = { base: slidingBase, scaling: { type: "default" } };
  // The 27B model, known by its depth, scales by hidden size / heads instead of the head size.
  const scaleSize = sizes.layers === 62 ? sizes.hiddenSize / sizes.queryHeads : sizes.headSize;
  const spec = buildSpec(sizes, { types, window, full, sliding }, scaleSize ** -0.5);
  return { spec, layout: ggufLayout(spec, { extras: ["qkNorm", "sandwichNorms"], optional: ["attentionBias"] }) };
}

function buildSpec(sizes: DenseSizes, { types, window, full, sliding }: Gemma3Layers, attentionScale: number): ModelSpec {
  const rope = (parameters: RopeParameters) => buildRope({ ...parameters, size: sizes.headSize, interleaved: false });
  return buildDense(sizes, {
    activation: "gelu_tanh",
    ropes: [rope(full), rope(sliding)],
    attentionScale,
    embeddingScale: Math.fround(Math.sqrt(sizes.hiddenSize)),
    layer: (index) => (types[index] === "full_attention" ? { window: 0, rope: 0 } : { window, rope: 1 }),
  });
}
