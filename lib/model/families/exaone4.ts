import { field } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { periodicTypes, planOf, windowOf } from "./windows.ts";

/**
 * EXAONE 4: norms after each half of a layer, none before, and on the heads of q and k; where three of four layers see a window, nothing
 * turns in the others. Its GGUF form is not tested.
 */
export const exaone4: Family = denseFamily({
  name: "exaone4",
  modelTypes: ["exaone4"],
  fields: {
    vocab_size: field(102400),
    hidden_size: field(4096),
    intermediate_size: field(16384),
    num_hidden_layers: field(32),
    num_attention_heads: field(32),
    num_key_value_heads: field(32),
    head_dim: field(),
    hidden_act: field("silu"),
    max_position_embeddings: field(2048),
    rms_norm_eps: field(1e-5),
    tie_word_embeddings: field(false),
    rope_theta: field(10000),
    sliding_window: field(4096),
    sliding_window_pattern: field(4),
    layer_types: field(),
  },
  gguf: {},
  describe: ({ config, sizes }) => {
    const types = periodicTypes(config, sizes.layers, 4);
    const full = windowOf(config) > 0 ? undefined : 0;
    const layers = planOf(config, types, { full_attention: full, sliding_attention: 0 });
    return { norms: ["post_attn_norm", "post_mlp_norm"], qkNorm: "head", layers };
  },
});
