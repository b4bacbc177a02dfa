import { bias, field } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { describeOlmo } from "./olmo2.ts";

/** OLMo 3: OLMo 2 with windows in three of four layers. Its GGUF files say olmo2. */
export const olmo3: Family = denseFamily({
  name: "olmo3",
  modelTypes: ["olmo3"],
  fields: {
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
    sliding_window: field(4096),
    layer_types: field(),
  },
  describe: describeOlmo,
});
