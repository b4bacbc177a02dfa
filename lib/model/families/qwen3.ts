import { buildDense, sizesFromConfig, sizesFromGguf } from "../dense.ts";
import { type Extra, ggufLayout, huggingFaceLayout } from "../layouts.ts";
import { buildRope, ropeFromConfig, ropeFromGguf } from "../rope.ts";
import type { Blueprint, Family, GgufModel, HuggingFaceModel } from "./family.ts";
import { CONFIG_FEATURES, GGUF_FEATURES } from "./features.ts";
import { refuseWindows } from "./windows.ts";

/** Qwen3: llama's form with RMS norms on each head of q and k before the rope. */
export const qwen3: Family = { name: "qwen3", modelTypes: ["qwen3"], fromHuggingFace, fromGguf };

const DEFAULTS = { headSize: 128, kvHeads: 32, contextLength: 32768 };

function fromHuggingFace({ config }: HuggingFaceModel): Blueprint {
  config.refuse({ ...CONFIG_FEATURES, hidden_act: ["silu"], use_sliding_window: [false] });
  refuseWindows(config);
  const sizes = sizesFromConfig(config, "qwen3", DEFAULTS);
  const rope = ropeFromConfig(config, { base: 10000, contextLength: sizes.contextLength });
  const ropes = [buildRope({ ...rope, size: sizes.headSize, interleaved: false })];
  const spec = buildDense(sizes, { activation: "silu", ropes });
  const extras: Extra[] = ["qkNorm"];
  if (config.boolean("attention_bias", false)) extras.push("attentionBias");
  return { spec, layout: huggingFaceLayout(spec, { extras, tied: config.boolean("tie_word_embeddings", false) }) };
}

function fromGguf({ config, vocabSize }: GgufModel): Blueprint {
  config.refuse({ ...GGUF_FEATURES, "attention.sliding_window": [0] });
  const sizes = sizesFromGguf(config, "qwen3", vocabSize);
  const rope = ropeFromGguf(config, { base: 10000, contextLength: sizes.contextLength });
  const ropes = [buildRope({ ...rope, size: sizes.headSize, interleaved: false })];
  const spec = buildDense(sizes, { activation: "silu", ropes });
  return { spec, layout: ggufLayout(spec, { extras: ["qkNorm"], optional: ["attentionBias"] }) };
}
