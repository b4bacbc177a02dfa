import { bias, type Fields, field } from "../fields.ts";
import { type Described, denseFamily, type Settings } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { periodicTypes, planOf } from "./windows.ts";

/** What the classes of OLMo 2 and 3 share. */
export const OLMO_FIELDS: Fields = {
  vocab_size: field(50304),
  hidden_size: field(4096),
  intermediate_size: field(11008),
  num_hidden_layers: field(32),
  num_attention_heads: field(32),
  num_key_value_heads: field(),
  head_dim: field(),
  hidden_act: field("silu"),
  max_position_embeddings: field(2048),
  rms_norm_eps: field(1e-5),
  tie_word_embeddings: field(false),
  rope_theta: field(10000),
  attention_bias: bias(false, "qkvBias", "outBias"),
};

/**
 * OLMo 2: RMS norms after each half of a layer, none before, and over the whole rows of q and k. Its GGUF form is that of OLMo 3, too,
 * which is known by its window.
 */
export const olmo2: Family = denseFamily({
  name: "olmo2",
  modelTypes: ["olmo2"],
  fields: OLMO_FIELDS,
  gguf: {},
  describe: describeOlmo,
});

/** Windows in three of four layers, where there is one; their rope is unscaled. */
export function describeOlmo({ config, sizes }: Settings): Described {
  const types = periodicTypes(config, sizes.layers, 4);
  const layers = planOf(config, types, { full_attention: 0, sliding_attention: 1 });
  return { norms: ["post_attn_norm", "post_mlp_norm"], qkNorm: "row", layers };
}
