import type { Config, ConfigForm } from "./config.ts";
import type { Extra } from "./layouts.ts";

/**
 * The fields of an architecture's configuration class as a table: the class's default of each, which holds where a file leaves it out, and
 * the values that kvasir runs. What is in no table is refused where it is a field of other architectures that changes what is computed.
 */

/** One field: honoured, whatever its value, or run at some values alone. */
export interface Field {
  /** The class's. */
  default: unknown;
  /** Values beside the default that run; without a list, all that its reader takes. */
  runs?: readonly unknown[];
  /** Biases that a model has where the field is true. */
  biases?: readonly Extra[];
}

/** A table of fields. */
export type Fields = Readonly<Record<string, Field>>;

/** A field that is honoured. Without a default it is required, or follows from others. */
export function field(value?: unknown): Field {
  return { default: value };
}

/** A field that runs at its default and these values; any other is refused by name. */
export function only(value: unknown, ...others: unknown[]): Field {
  return { default: value, runs: others };
}

/** A field that says whether there are biases. */
export function bias(value: boolean, ...biases: Extra[]): Field {
  return { default: value, biases };
}

/** Fields of config.json that other architectures have, and the values at which they change nothing. Null is always harmless. */
const CONFIG_FEATURES: Readonly<Record<string, readonly unknown[]>> = {
  quantization_config: [],
  compression_config: [],
  attn_logit_softcapping: [],
  final_logit_softcapping: [],
  use_bidirectional_attention: [false],
  is_causal: [true],
  partial_rotary_factor: [1],
  sliding_window: [],
  use_sliding_window: [false],
  num_experts: [0],
  num_local_experts: [0],
  n_routed_experts: [0],
  attention_multiplier: [],
  query_pre_attn_scalar: [],
  residual_multiplier: [1],
  embedding_multiplier: [1],
  logits_scaling: [1],
  logit_scale: [1],
  qk_layernorm: [false],
  use_qk_norm: [false],
  use_parallel_residual: [false],
  no_rope_layers: [],
  alibi: [false],
  clip_qkv: [],
};

/** The same of GGUF metadata, after the architecture's name. */
const GGUF_FEATURES: Readonly<Record<string, readonly unknown[]>> = {
  expert_count: [0],
  attn_logit_softcapping: [0],
  final_logit_softcapping: [0],
  "attention.causal": [true],
  "attention.scale": [],
  "attention.clamp_kqv": [0],
  "attention.max_alibi_bias": [0],
  "attention.temperature_scale": [0],
  "rope.scaling.yarn_log_multiplier": [0],
  use_parallel_residual: [false],
  logit_scale: [0, 1],
  residual_scale: [0, 1],
  embedding_scale: [0, 1],
};

/** What transformers' names of settings are called in GGUF metadata. */
const GGUF_NAMES: Readonly<Record<string, string>> = {
  hidden_size: "embedding_length",
  num_hidden_layers: "block_count",
  num_attention_heads: "attention.head_count",
  num_key_value_heads: "attention.head_count_kv",
  head_dim: "attention.key_length",
  intermediate_size: "feed_forward_length",
  max_position_embeddings: "context_length",
  rms_norm_eps: "attention.layer_norm_rms_epsilon",
  layer_norm_eps: "attention.layer_norm_epsilon",
  sliding_window: "attention.sliding_window",
  sliding_window_pattern: "attention.sliding_window_pattern",
  attention_multiplier: "attention.scale",
  residual_multiplier: "residual_scale",
  embedding_multiplier: "embedding_scale",
  rope_theta: "rope.freq_base",
  rope_local_base_freq: "rope.freq_base_swa",
  partial_rotary_factor: "rope.dimension_count",
  mscale_all_dim: "rope.scaling.yarn_log_multiplier",
  llama_4_scaling_beta: "attention.temperature_scale",
};

/** What llama.cpp takes for most architectures where their files leave it unsaid. */
const GGUF_DEFAULTS: Readonly<Record<string, unknown>> = { rope_theta: 10000, hidden_act: "silu" };

/** Factors that are not applied where they are 0. */
const GGUF_SILENT = { embedding_multiplier: 0, residual_multiplier: 0, attention_multiplier: 0, logits_scaling: 0 };

/** A config.json in the form of its table, whose fields have `names` where they are not those of most architectures. */
export function configOfFields(config: Config, fields: Fields, names: Readonly<Record<string, string>> = {}): Config {
  const own = new Set(Object.keys(fields).map((key) => names[key] ?? key));
  refuse(config, CONFIG_FEATURES, own);
  return inForm(config, fields, { names });
}

/** GGUF metadata in the same form: of `fields` it says what this architecture's files have beyond those of all. */
export function metadataOfFields(config: Config, fields: Fields, own: Readonly<Record<string, string>> = {}): Config {
  const names = { ...GGUF_NAMES, ...own };
  refuse(config, GGUF_FEATURES, new Set(Object.keys(fields).map((key) => names[key] ?? key)));
  return inForm(config, fields, { names, defaults: GGUF_DEFAULTS, silent: GGUF_SILENT });
}

/** `form` as all files of this kind have it, with the defaults of `fields`. */
function inForm(config: Config, fields: Fields, form: ConfigForm): Config {
  for (const [key, { default: value, runs }] of Object.entries(fields))
    if (runs !== undefined) config.refuse({ [form.names?.[key] ?? key]: [value, ...runs] });
  const own = Object.fromEntries(Object.entries(fields).map(([key, { default: value }]) => [key, value]));
  return config.as({ ...form, defaults: { ...form.defaults, ...own } });
}

/** Biases of the fields that are true. */
export function biasesOf(config: Config, fields: Fields): Extra[] {
  return Object.entries(fields).flatMap(([key, { biases = [] }]) => (biases.length > 0 && config.boolean(key, false) ? biases : []));
}

function refuse(config: Config, features: Readonly<Record<string, readonly unknown[]>>, own: ReadonlySet<string>): void {
  config.refuse(Object.fromEntries(Object.entries(features).filter(([key]) => !own.has(key))));
}
