/**
 * Settings of other architectures' features that appear in config files of any: present with another value than these, they change what
 * a model computes, and the spec has no place for them yet. Null is always harmless.
 */

/** In config.json. */
export const CONFIG_FEATURES: Readonly<Record<string, readonly unknown[]>> = {
  quantization_config: [],
  compression_config: [],
  attn_logit_softcapping: [],
  final_logit_softcapping: [],
  use_bidirectional_attention: [false],
  is_causal: [true],
  partial_rotary_factor: [1],
  num_experts: [0],
  num_local_experts: [0],
  n_routed_experts: [0],
  attention_multiplier: [],
  residual_multiplier: [1],
  embedding_multiplier: [1],
  logits_scaling: [1],
  logit_scale: [1],
};

/** In GGUF metadata, after the architecture's name. */
export const GGUF_FEATURES: Readonly<Record<string, readonly unknown[]>> = {
  expert_count: [0],
  attn_logit_softcapping: [0],
  final_logit_softcapping: [0],
  "attention.causal": [true],
  "attention.scale": [],
  "attention.clamp_kqv": [0],
  "attention.max_alibi_bias": [0],
  use_parallel_residual: [false],
  logit_scale: [0, 1],
  residual_scale: [0, 1],
  embedding_scale: [0, 1],
};
