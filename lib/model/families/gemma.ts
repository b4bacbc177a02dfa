import { LIMITS } from "../config.ts";
import type { Names } from "../layouts.ts";
import { type Described, type Settings, scaleOfSize } from "./dense-family.ts";
import { periodicTypes, planOf } from "./windows.ts";

/** What the gemmas share. */

/** Which layers see everything, the rope of the others, and the layers of the 27B model, which is known by them. */
interface GemmaForm {
  period: number;
  slidingRope: number;
  largest: number;
}

/** transformers gives the usual name of the norm before the MLP to the one after attention. */
export const GEMMA_NAMES = { huggingFace: (): Names => ({ mlp_norm: "pre_feedforward_layernorm.weight" }) };

/** Norms on both sides of each half of a layer, windows, and scales, which a GGUF file doesn't tell. */
export function describeGemma({ dialect, config, sizes }: Settings, { period, slidingRope, largest }: GemmaForm): Described {
  const own = config.integer("_sliding_window_pattern", { min: 1, max: LIMITS.layers }, period);
  const types = periodicTypes(config, sizes.layers, own);
  // The 27B models scale by hidden size / heads instead of the head size.
  const scaleSize = sizes.layers === largest ? sizes.hiddenSize / sizes.queryHeads : sizes.headSize;
  return {
    norms: ["attn_norm", "post_attn_norm", "mlp_norm", "post_mlp_norm"],
    embeddingScale: Math.sqrt(sizes.hiddenSize),
    attentionScale: dialect === "gguf" ? scaleSize ** -0.5 : scaleOfSize(config, "query_pre_attn_scalar"),
    layers: planOf(config, types, { full_attention: 0, sliding_attention: slidingRope }),
  };
}
