import { show } from "../../errors.ts";
import { type Config, LIMITS } from "../config.ts";
import type { LayerPlan } from "../dense.ts";
import { bias, field } from "../fields.ts";
import { denseFamily } from "./dense-family.ts";
import type { Family } from "./family.ts";
import { planOf, typesIfWindowed } from "./windows.ts";

/** SmolLM 3: llama's form; nothing turns in every fourth layer, which may have a window. */
export const smollm3: Family = denseFamily({
  name: "smollm3",
  modelTypes: ["smollm3"],
  fields: {
    vocab_size: field(128256),
    hidden_size: field(2048),
    intermediate_size: field(11008),
    num_hidden_layers: field(36),
    num_attention_heads: field(16),
    num_key_value_heads: field(4),
    head_dim: field(),
    hidden_act: field("silu"),
    max_position_embeddings: field(32768),
    rms_norm_eps: field(1e-6),
    tie_word_embeddings: field(true),
    rope_theta: field(2e6),
    use_sliding_window: field(false),
    sliding_window: field(),
    layer_types: field(),
    no_rope_layers: field(),
    no_rope_layer_interval: field(4),
    attention_bias: bias(false, "qkvBias", "outBias"),
    mlp_bias: bias(false, "mlpBias"),
  },
  gguf: { no_rope_layer_interval: field(4) },
  interleaved: ["gguf"],
  describe: ({ config, sizes }) => ({ layers: layersOf(config, sizes.layers) }),
});

function layersOf(config: Config, count: number): LayerPlan[] {
  const rotates = rotatingLayers(config, count);
  const windowed = config.boolean("use_sliding_window", false) && config.has("sliding_window");
  const unlisted = rotates.map((turns) => (windowed && !turns ? "sliding_attention" : "full_attention"));
  return planOf(config, typesIfWindowed(config, count, windowed) ?? unlisted, { full_attention: 0, sliding_attention: 0 }).map(
    (plan, i) => ({
      ...plan,
      rope: rotates[i] ? 0 : undefined,
    }),
  );
}

/** 1 for layers that turn, by config.json's list or in each interval all but the last. */
function rotatingLayers(config: Config, count: number): boolean[] {
  const listed = config.value("no_rope_layers");
  const interval = config.integer("no_rope_layer_interval", { min: 1, max: LIMITS.layers });
  if (listed === undefined) return Array.from({ length: count }, (_, index) => (index + 1) % interval !== 0);
  if (!Array.isArray(listed) || listed.length !== count || listed.some((flag) => flag !== 0 && flag !== 1))
    throw config.invalid("no_rope_layers", `is ${show(listed)}; expected ${count} times 0 or 1`);
  return listed.map((flag) => flag === 1);
}
