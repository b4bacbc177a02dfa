import { describe, expect, test } from "vitest";
import { Config } from "../../../../lib/model/config.ts";
import { FAMILIES, familyOfModelType, ggufFamilyOf, textHalfOf } from "../../../../lib/model/families/index.ts";
import type { WantedTensor } from "../../../../lib/model/manifest.ts";
import type { RopeTensors } from "../../../../lib/model/rope-settings.ts";
import { expectError } from "../../../support/expect.ts";

/** Families from settings alone: no files. */

const SIZES = {
  vocab_size: 48,
  hidden_size: 32,
  intermediate_size: 40,
  num_hidden_layers: 8,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 256,
};
const GPT2_SIZES = { vocab_size: 48, n_embd: 32, n_layer: 8, n_head: 4, n_positions: 256 };

const fromConfig = (type: string, settings: Record<string, unknown> = {}, tensors: string[] = []) => {
  const config = Config.of("config.json: ", { ...(type === "gpt2" ? GPT2_SIZES : SIZES), ...settings });
  return familyOfModelType("m", type).fromHuggingFace({ config, whole: config, hasTensor: (name) => tensors.includes(name) });
};

const NO_ROPE_TENSORS: RopeTensors = { divisors: undefined, short: undefined, long: undefined };
const METADATA = {
  embedding_length: 32,
  block_count: 8,
  feed_forward_length: 40,
  "attention.head_count": 4,
  "attention.head_count_kv": 2,
  context_length: 256,
  "attention.layer_norm_rms_epsilon": 1e-5,
  "attention.layer_norm_epsilon": 1e-5,
  // cohere2's.
  logit_scale: 1,
};
const fromGguf = (name: string, settings: Record<string, unknown> = {}, tensors: string[] = []) => {
  const config = Config.of(`m.gguf: ${name}.`, { ...METADATA, ...settings });
  return ggufFamilyOf("m", name)({ config, vocabSize: 48, ropeTensors: NO_ROPE_TENSORS, hasTensor: (each) => tensors.includes(each) });
};

const windowsOf = ({ spec }: ReturnType<typeof fromConfig>) =>
  spec.layers.map(({ mixer }) => spec.cacheGroups[mixer.cacheGroup]!.window).join(" ");
const ropesOf = ({ spec }: ReturnType<typeof fromConfig>) => spec.layers.map(({ mixer }) => mixer.rope ?? "-").join("");
const find = ({ layout }: ReturnType<typeof fromConfig>, name: string): WantedTensor | undefined =>
  layout.tensors.find((tensor) => tensor.name === name);

describe("every family", () => {
  test.each(FAMILIES.flatMap(({ modelTypes }) => modelTypes))("%s refuses what it doesn't compute, by name", async (type) => {
    const act = type === "gpt2" ? "activation_function" : type.startsWith("gemma") ? "hidden_activation" : "hidden_act";
    for (const [key, value] of [
      [act, "relu2"],
      ["quantization_config", { quant_method: "gptq" }],
      ["num_local_experts", 8],
      ["n_routed_experts", 8],
      ["clip_qkv", 8],
      ...(type === "gpt2" ? [] : [["rope_parameters", { rope_type: "dynamic", factor: 2 }] as const]),
    ] as const)
      await expectError(() => fromConfig(type, { [key]: value }), "UNSUPPORTED_MODEL", key);
  });

  test.each(FAMILIES.filter(({ fromGguf: made }) => made).map(({ name }) => name))("%s from metadata, experts refused", async (name) => {
    expect(fromGguf(name).spec.layers).toHaveLength(8);
    await expectError(() => fromGguf(name, { expert_count: 4 }), "UNSUPPORTED_MODEL", `${name}.expert_count is 4`);
    await expectError(() => fromGguf(name, { "attention.value_length": 4 }), "UNSUPPORTED_MODEL", "attention.value_length");
  });

  test("models that see images have one inside", () => {
    expect([textHalfOf("gemma3"), textHalfOf("mistral3"), textHalfOf("llama")]).toEqual(["gemma3_text", "mistral", undefined]);
  });
});

describe("windows and ropes", () => {
  test("in every layer, from one layer on, in all but every nth", async () => {
    expect(windowsOf(fromConfig("mistral"))).toBe(Array(8).fill(4096).join(" "));
    expect(windowsOf(fromConfig("mistral", { sliding_window: null }))).toBe(Array(8).fill(0).join(" "));
    expect(windowsOf(fromConfig("qwen2", { sliding_window: 16, max_window_layers: 6 }))).toBe("0 0 0 0 0 0 0 0");
    expect(windowsOf(fromConfig("qwen2", { use_sliding_window: true, sliding_window: 16, max_window_layers: 6 }))).toBe(
      "0 0 0 0 0 0 16 16",
    );
    expect(windowsOf(fromConfig("gemma2", { sliding_window: 16 }))).toBe("16 0 16 0 16 0 16 0");
    expect(windowsOf(fromConfig("cohere2", { sliding_window: 16, sliding_window_pattern: 2 }))).toBe("16 0 16 0 16 0 16 0");
    expect(windowsOf(fromGguf("olmo2", { "attention.sliding_window": 16 }))).toBe("16 16 16 0 16 16 16 0");
    const flags = [true, false, false, false, false, false, false, false];
    const listed = { "attention.sliding_window": 16, "attention.sliding_window_pattern": flags };
    expect(windowsOf(fromGguf("olmo2", listed))).toBe("16 0 0 0 0 0 0 0");
    expect(windowsOf(fromGguf("llama", { "attention.sliding_window": 16 }))).toBe(Array(8).fill(16).join(" "));
    await expectError(() => fromGguf("qwen2", { "attention.sliding_window": 16 }), "UNSUPPORTED_MODEL", "attention.sliding_window");
    const pattern = { ...listed, "attention.sliding_window_pattern": flags.slice(1) };
    await expectError(() => fromGguf("olmo2", pattern), "FILE_INVALID", "attention.sliding_window_pattern");
  });

  test("which layers turn, and by which rope", async () => {
    expect(ropesOf(fromConfig("cohere2", { sliding_window: 16 }))).toBe("000-000-");
    expect(ropesOf(fromConfig("exaone4", { sliding_window: 16 }))).toBe("000-000-");
    expect(ropesOf(fromConfig("exaone4", { sliding_window: null, sliding_window_pattern: null }))).toBe("00000000");
    expect(ropesOf(fromConfig("smollm3"))).toBe("000-000-");
    expect(ropesOf(fromConfig("smollm3", { no_rope_layers: [0, 1, 1, 1, 1, 1, 1, 0] }))).toBe("-000000-");
    expect(ropesOf(fromConfig("gemma3_text"))).toBe("11111011");
    expect(ropesOf(fromConfig("olmo3"))).toBe("11101110");
    expect(ropesOf(fromConfig("gpt2"))).toBe("--------");
    expect(windowsOf(fromConfig("smollm3", { use_sliding_window: true, sliding_window: 16 }))).toBe("0 0 0 16 0 0 0 16");
    await expectError(() => fromConfig("smollm3", { no_rope_layers: [1, 2] }), "FILE_INVALID", "no_rope_layers");
  });

  test("a share of each head is looked at only of ropes that turn", () => {
    const odd = { hidden_size: 80, num_key_value_heads: 4, rope_parameters: { partial_rotary_factor: 1 } };
    expect(fromConfig("gpt_neox", odd).spec.ropes[0]!.frequencies).toHaveLength(10);
  });

  test("what is listed decides, and a list of windows without any is refused", async () => {
    const layer_types = Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? "sliding_attention" : "full_attention"));
    expect(windowsOf(fromConfig("exaone4", { sliding_window: 16, sliding_window_pattern: "LLLG", layer_types }))).toBe(
      "16 0 16 0 16 0 16 0",
    );
    for (const type of ["smollm3", "qwen2", "qwen3"])
      await expectError(() => fromConfig(type, { sliding_window: 16, layer_types }), "FILE_INVALID", "layer_types has sliding_attention");
  });

  test("a window longer than any context", () => {
    expect(windowsOf(fromConfig("mistral", { sliding_window: 2 ** 40 }))).toBe(
      Array(8)
        .fill(2 ** 30)
        .join(" "),
    );
  });

  test("rope_scaling, where it says something, holds instead of rope_parameters", async () => {
    const linear = { rope_type: "linear", factor: 4, rope_theta: 16 };
    const first = (type: string, settings: Record<string, unknown>) => fromConfig(type, settings).spec.ropes[0]!.frequencies[0];
    expect(first("llama", { rope_scaling: linear })).toBe(0.25);
    expect(first("llama", { rope_scaling: linear, rope_parameters: {} })).toBe(0.25);
    expect(first("llama", { rope_scaling: linear, rope_parameters: { rope_type: "default" } })).toBe(0.25);
    expect(first("llama", { rope_scaling: {}, rope_parameters: linear })).toBe(0.25);
    expect(fromConfig("ministral3", { rope_scaling: linear }).spec.layers[0]!.mixer.queryGrowth).toBeUndefined();
    expect(first("ministral3", { rope_scaling: linear })).toBe(0.25);
  });

  test("ropes by kinds of layers, where there is one rope for all", async () => {
    const rope_parameters = { full_attention: { rope_theta: 10 }, sliding_attention: { rope_theta: 100 } };
    for (const type of ["gemma2", "cohere2", "exaone4", "llama"])
      await expectError(() => fromConfig(type, { rope_parameters }), "UNSUPPORTED_MODEL", "rope_parameters");
    expect(fromConfig("olmo3", { rope_parameters }).spec.ropes).toHaveLength(2);
  });

  test("yarn's factors that are 0 or null say nothing", () => {
    const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64 };
    const rope = (more: object) => fromConfig("llama", { rope_parameters: { ...yarn, ...more } }).spec.ropes[0]!;
    expect(rope({ mscale: 0, mscale_all_dim: 1, beta_fast: 0, beta_slow: null, factor: null })).toEqual(rope({}));
    expect(rope({ mscale: 2, mscale_all_dim: 1 })).not.toEqual(rope({}));
  });

  test("a part of each head, by its older and its newer names", () => {
    const turned = (blueprint: ReturnType<typeof fromConfig>) => 2 * blueprint.spec.ropes[0]!.frequencies.length;
    expect(turned(fromConfig("gpt_neox"))).toBe(2);
    expect(turned(fromConfig("gpt_neox", { rotary_pct: 1 }))).toBe(8);
    expect(turned(fromConfig("stablelm", { partial_rotary_factor: 0.25, rope_parameters: { partial_rotary_factor: 0.5 } }))).toBe(4);
    expect(turned(fromGguf("glm4", { "rope.dimension_count": 4 }))).toBe(4);
    expect(fromConfig("gpt_neox", { rotary_pct: 1, rotary_emb_base: 16 }).spec.ropes[0]!.frequencies[2]).toBe(0.25);
  });
});

describe("scales", () => {
  test("of scores, logits, embeddings and what is added", () => {
    const { spec } = fromConfig("granite", {
      attention_multiplier: 0.25,
      logits_scaling: 8,
      residual_multiplier: 0.5,
      embedding_multiplier: 12,
    });
    expect(spec).toMatchObject({ logitScale: 0.125, residualScale: 0.5, embeddingScale: 12 });
    expect(spec.layers[0]!.mixer.scale).toBe(0.25);
    // The class's default, which is no root of a size.
    expect(fromConfig("granite").spec.layers[0]!.mixer.scale).toBe(1);
    expect(fromGguf("granite", { logit_scale: 8, "attention.scale": 0.25 }).spec).toMatchObject({ logitScale: 0.125 });
    expect(fromGguf("cohere2", { logit_scale: 0.25 }).spec.logitScale).toBe(0.25);
    expect(fromConfig("gemma2").spec).toMatchObject({
      logitSoftcap: 30,
      layers: [{ mixer: { softcap: 50, scale: 1 / 16 } }, {}, {}, {}, {}, {}, {}, {}],
    });
    expect(fromConfig("gemma3_text", { final_logit_softcapping: 20 }).spec.logitSoftcap).toBe(20);
  });

  test("granite's factors of 0 in GGUF metadata say nothing; cohere2's has to be there", async () => {
    const zeros = { embedding_scale: 0, residual_scale: 0, "attention.scale": 0, logit_scale: 0 };
    expect(fromGguf("granite", zeros)).toEqual(fromGguf("granite"));
    await expectError(() => fromGguf("cohere2", { logit_scale: undefined }), "FILE_INVALID", "cohere2.logit_scale is missing");
  });

  test("embeddings are not tied by a null", () => {
    expect(find(fromConfig("llama", { tie_word_embeddings: null }), "lm_head")?.source).toBe("lm_head.weight");
    expect(find(fromConfig("llama", { tie_word_embeddings: true }), "lm_head")).toBeUndefined();
  });

  test("the 27B gemmas are known by their layers", () => {
    const scale = (name: string, layers: number) =>
      fromGguf(name, { block_count: layers, "attention.key_length": 16 }).spec.layers[0]!.mixer.scale;
    expect([scale("gemma2", 46), scale("gemma2", 42)]).toEqual([8 ** -0.5, 0.25]);
    expect([scale("gemma3", 62), scale("gemma3", 48)]).toEqual([8 ** -0.5, 0.25]);
  });

  test("queries that grow: ministral3, from both kinds of files", async () => {
    const { spec } = fromConfig("ministral3");
    expect(spec.layers[0]!.mixer.queryGrowth).toEqual({ growth: 0.1, context: 16384 });
    expect(spec.ropes[0]!.scale).toBe(1);
    const metadata = { "attention.temperature_scale": 0.2, "rope.scaling.type": "yarn", "rope.scaling.factor": 4 };
    const gguf = fromGguf("mistral3", {
      ...metadata,
      "rope.scaling.original_context_length": 64,
      "rope.scaling.yarn_log_multiplier": 1,
    }).spec;
    expect(gguf.layers[0]!.mixer.queryGrowth).toEqual({ growth: 0.2, context: 64 });
    expect(gguf.ropes[0]!.scale).toBe(1);
    await expectError(() => fromGguf("llama", metadata), "UNSUPPORTED_MODEL", "attention.temperature_scale");
  });
});

describe("tensors", () => {
  test("biases where the settings say so, in GGUF where they are", () => {
    const biases = (blueprint: ReturnType<typeof fromConfig>, optional = false) =>
      blueprint.layout.tensors
        .filter((tensor) => tensor.name.startsWith("layers.0.") && tensor.name.endsWith("bias") && tensor.optional === optional)
        .map(({ name }) => name.slice("layers.0.".length, -"_bias".length))
        .join(" ");
    expect(biases(fromConfig("qwen2"))).toBe("q k v");
    expect(biases(fromConfig("glm4"))).toBe("q k v");
    expect(biases(fromConfig("glm4", { attention_bias: false }))).toBe("");
    expect(biases(fromConfig("seed_oss", { attention_out_bias: true, mlp_bias: true }))).toBe("q k v o gate up down");
    expect(biases(fromConfig("starcoder2", { use_bias: false }))).toBe("attn_norm mlp_norm");
    expect(biases(fromConfig("gpt2"))).toBe("attn_norm q k v o mlp_norm up down");
    expect(biases(fromGguf("qwen2"))).toBe("q k v");
    expect(biases(fromGguf("qwen2"), true)).toBe("o gate up down");
  });

  test("norms: one for both halves, after each half, on the heads of q and k", () => {
    const parallel = fromConfig("stablelm", { use_parallel_residual: true, qk_layernorm: true });
    expect(parallel.spec.layers[0]).toMatchObject({ residual: "parallel", mixer: { qkNorm: "each" } });
    expect(find(parallel, "layers.0.mlp_norm")).toBeUndefined();
    expect(find(parallel, "layers.0.k_norm.1")?.source).toBe("model.layers.0.self_attn.k_layernorm.norms.1.weight");
    // llama.cpp goes by the tensors.
    expect(fromGguf("stablelm", {}, ["blk.0.ffn_norm.weight"]).spec.layers[0]).toMatchObject({
      residual: "sequential",
      mixer: { qkNorm: "none" },
    });
    const each = fromGguf("stablelm", {}, ["blk.0.attn_q_norm.weight"]);
    expect(find(each, "layers.0.k_norm.1")?.source).toEqual({ source: "blk.0.attn_k_norm.weight", shape: [2, 8], first: 1 });
    const olmo = fromConfig("olmo2");
    expect(find(olmo, "layers.0.attn_norm")).toBeUndefined();
    expect(find(olmo, "layers.0.post_mlp_norm")?.source).toBe("model.layers.0.post_feedforward_layernorm.weight");
    expect(find(olmo, "layers.0.q_norm")?.shape).toEqual([32]);
  });

  test("parts of fused tensors, with odd numbers of heads", () => {
    const heads = { hidden_size: 24, num_attention_heads: 3, num_key_value_heads: 1 };
    const phi = fromConfig("phi3", heads);
    expect(find(phi, "layers.1.v")).toMatchObject({ shape: [8, 24], source: { shape: [40, 24], first: 32 } });
    expect(find(phi, "layers.1.up")?.source).toEqual({ source: "model.layers.1.mlp.gate_up_proj.weight", shape: [80, 24], first: 40 });
    const neox = fromConfig("gpt_neox", { hidden_size: 24, num_attention_heads: 3, num_key_value_heads: 3 });
    const layout = { kind: "runs", run: 8, stride: 24 };
    expect(find(neox, "layers.1.k")).toMatchObject({ shape: [24, 24], source: { shape: [72, 24], first: 8, layout } });
    expect(find(neox, "layers.1.k_bias")).toMatchObject({ shape: [24], source: { shape: [72], first: 8, layout } });
    const gpt2 = fromConfig("gpt2", { n_inner: 50 });
    expect(find(gpt2, "layers.7.down")).toMatchObject({
      shape: [32, 50],
      source: { shape: [50, 32], layout: { kind: "transposed", stride: 32 } },
    });
    expect(find(gpt2, "layers.7.v_bias")).toMatchObject({ shape: [32], source: { shape: [96], first: 64 } });
    expect(find(gpt2, "position_embed")).toMatchObject({ shape: [256, 32], source: "transformer.wpe.weight" });
  });

  test("names of files without anything around the decoder, and of vision models", () => {
    expect(find(fromConfig("gpt2", {}, ["wte.weight"]), "layers.0.q")?.source).toMatchObject({ source: "h.0.attn.c_attn.weight" });
    const outer = fromConfig("mistral", {}, ["language_model.model.embed_tokens.weight"]);
    expect(find(outer, "lm_head")?.source).toBe("language_model.lm_head.weight");
    const inner = fromConfig("mistral", {}, ["model.language_model.embed_tokens.weight"]);
    expect([find(inner, "lm_head")?.source, find(inner, "embed")?.source]).toEqual([
      "lm_head.weight",
      "model.language_model.embed_tokens.weight",
    ]);
    for (const name of ["vision_tower.x", "model.vision_tower.x", "multi_modal_projector.y", "image_newline", "model.image_newline"])
      expect(inner.layout.ignored?.test(name)).toBe(true);
    expect(inner.layout.ignored?.test("model.language_model.layers.0.self_attn.sinks")).toBe(false);
  });
});
