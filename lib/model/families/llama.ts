import { buildDense, sizesFromConfig, sizesFromGguf } from "../dense.ts";
import { type Extra, ggufLayout, huggingFaceLayout } from "../layouts.ts";
import { buildRope, ropeFromConfig, ropeFromGguf } from "../rope.ts";
import type { Blueprint, Family, GgufModel, HuggingFaceModel } from "./family.ts";
import { CONFIG_FEATURES, GGUF_FEATURES } from "./features.ts";

/** Llama 1 to 3 and what shares their form: RMS norms before each half of a layer, rope, gated SiLU. */
export const llama: Family = { name: "llama", modelTypes: ["llama"], fromHuggingFace, fromGguf };

const DEFAULTS = { contextLength: 2048 };

function fromHuggingFace({ config }: HuggingFaceModel): Blueprint {
  config.refuse({ ...CONFIG_FEATURES, hidden_act: ["silu"], sliding_window: [] });
  const sizes = sizesFromConfig(config, "llama", DEFAULTS);
  const rope = ropeFromConfig(config, { base: 10000, contextLength: sizes.contextLength });
  const ropes = [buildRope({ ...rope, size: sizes.headSize, interleaved: false })];
  const spec = buildDense(sizes, { activation: "silu", ropes });
  const extras: Extra[] = [];
  if (config.boolean("attention_bias", false)) extras.push("attentionBias");
  if (config.boolean("mlp_bias", false)) extras.push("mlpBias");
  return { spec, layout: huggingFaceLayout(spec, { extras, tied: config.boolean("tie_word_embeddings", false) }) };
}

/** The converter permutes the rows of q and k so that a rope's pairs are neighbours. */
function fromGguf({ config, vocabSize, ropeDivisors }: GgufModel): Blueprint {
  config.refuse({ ...GGUF_FEATURES, "attention.sliding_window": [0] });
  const sizes = sizesFromGguf(config, "llama", vocabSize);
  const rope = ropeFromGguf(config, { base: 10000, contextLength: sizes.contextLength });
  const ropes = [buildRope({ ...rope, size: sizes.headSize, interleaved: true, divisors: ropeDivisors })];
  const spec = buildDense(sizes, { activation: "silu", ropes });
  // rope_freqs has been read: it is part of the rope.
  return { spec, layout: ggufLayout(spec, { optional: ["attentionBias", "mlpBias"], ignored: /^rope_freqs\.weight$/ }) };
}
