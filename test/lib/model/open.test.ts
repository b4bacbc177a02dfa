import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { checkParams } from "../../../lib/api/params.ts";
import { KvasirError, type KvasirWarning } from "../../../lib/errors.ts";
import { openModel, openText } from "../../../lib/model/open.ts";
import { expectError } from "../../support/expect.ts";
import { encodeFloats, ggufBytes, type MetadataValue, writeGguf, writeJson, writeSafetensors } from "../../support/files.ts";
import {
  type Architecture,
  configOf,
  ggufModel,
  huggingFaceTensors,
  isGemma,
  type ModelShape,
  TINY,
  writeModel,
} from "../../support/models.ts";
import { mutate, mutateJson, randomIntegers } from "../../support/mutants.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const root = temporaryDirectory();
const directory = join(root, "model");
const gguf = join(root, "model.gguf");
const shapes = (["llama", "qwen3", "gemma2", "gemma3"] as const).map((architecture): [Architecture, ModelShape] => [
  architecture,
  { ...TINY, architecture, tied: isGemma(architecture), layers: 7 },
]);

beforeEach(async () => {
  await rm(directory, { recursive: true, force: true });
  await writeModel(directory, TINY);
});

/** What a call tells of, as messages. */
const told = async <T>(call: (warn: (warning: KvasirWarning) => void) => Promise<T>): Promise<[result: T, messages: string[]]> => {
  const messages: string[] = [];
  return [await call(({ message }) => messages.push(message)), messages];
};
const openConfig = async (changes: Record<string, unknown>, shape: ModelShape = TINY) => {
  await writeModel(directory, shape);
  await writeJson(join(directory, "config.json"), { ...configOf(shape), ...changes });
  return openModel(directory);
};
const openMetadata = async (changes: Record<string, MetadataValue>, shape: ModelShape = TINY) => {
  const model = ggufModel(shape);
  await writeGguf(gguf, { ...model, metadata: { ...model.metadata, ...changes } });
  return openModel(gguf);
};

describe("a model of any shape", () => {
  test.each(shapes)("%s: both kinds of files give one spec and the same tensors", async (_, shape) => {
    const [a, b] = [await openConfig({}, shape), await openMetadata({}, shape)];
    const ropes = (spec: typeof a.spec) => spec.ropes.map((rope) => ({ ...rope, interleaved: false }));
    expect({ ...a.spec, ropes: ropes(a.spec) }).toEqual({ ...b.spec, norm: a.spec.norm, ropes: ropes(b.spec) });
    expect(b.spec.ropes[0]!.interleaved).toBe(shape.architecture === "llama");
    const rows = (source: typeof a) => source.tensors.map(({ name, shape: size }) => `${name} [${size}]`).sort();
    expect(rows(a)).toEqual(rows(b));
    expect(a.tensors.length).toBe(
      (shape.tied ? 2 : 3) + shape.layers * { llama: 9, qwen3: 11, gemma2: 11, gemma3: 13 }[shape.architecture],
    );
  });

  test.each(["F32", "F16", "BF16"] as const)("weights in %s", async (type) => {
    await writeModel(directory, TINY, type);
    const { tensors, files, name } = await openModel(directory);
    expect(name).toBe("model");
    expect(new Set(tensors.map((row) => row.type))).toEqual(new Set([type]));
    expect(tensors.every((row) => row.file === 0 && row.offset < files[0]!.size)).toBe(true);
  });

  test("biases", async () => {
    const shape = { ...TINY, bias: true };
    const biases = ["q_bias", "k_bias", "v_bias", "o_bias", "gate_bias", "up_bias", "down_bias"].map((name) => `layers.1.${name}`);
    for (const { tensors } of [await openConfig({}, shape), await openMetadata({}, shape)])
      expect(tensors.map((row) => row.name)).toEqual(expect.arrayContaining(biases));
    await expectError(openConfig({ mlp_bias: false }, shape), "UNSUPPORTED_MODEL", "mlp.gate_proj.bias", "has no place");
    await expectError(openConfig({ attention_bias: true }), "FILE_INVALID", "self_attn.q_proj.bias", "missing");
  });

  test("a sharded index", async () => {
    const tensors = huggingFaceTensors(TINY);
    await rm(join(directory, "model.safetensors"));
    const shard = (index: number) => `model-0000${(index % 2) + 1}-of-00002.safetensors`;
    for (const part of [0, 1])
      await writeSafetensors(
        join(directory, shard(part)),
        tensors.filter((_, index) => index % 2 === part),
      );
    const map = Object.fromEntries(tensors.map(({ name }, index) => [name, shard(index)]));
    await writeJson(join(directory, "model.safetensors.index.json"), { metadata: {}, weight_map: map });
    const { files, tensors: rows } = await openModel(directory);
    expect(files.length).toBe(2);
    expect(
      rows
        .map((row) => row.file)
        .sort()
        .join(""),
    ).toBe("0".repeat(11) + "1".repeat(10));
  });

  test("a tied embedding has no output matrix, even where the file has a copy", async () => {
    expect((await openConfig({ tie_word_embeddings: true })).tensors.some((row) => row.name === "lm_head")).toBe(false);
    const tied = { ...TINY, tied: true };
    expect((await openMetadata({}, tied)).tensors.some((row) => row.name === "lm_head")).toBe(false);
    await expectError(openConfig({ tie_word_embeddings: false }, tied), "FILE_INVALID", "lm_head.weight of shape [48,32] is missing");
  });
});

describe("gemma3", () => {
  const shape: ModelShape = { ...TINY, architecture: "gemma3", tied: true, layers: 7 };

  test("windows, two ropes, scales, norms", async () => {
    const { spec, tensors } = await openConfig({ query_pre_attn_scalar: 16, rope_scaling: { rope_type: "linear", factor: 8 } }, shape);
    expect(spec.cacheGroups.map(({ window, layers }) => [window, layers])).toEqual([
      [16, [0, 1, 2, 3, 4, 6]],
      [0, [5]],
    ]);
    expect(spec.layers.map(({ mixer }) => mixer.rope)).toEqual([1, 1, 1, 1, 1, 0, 1]);
    expect(spec.layers[0]!.mixer.scale).toBe(0.25);
    expect(spec.embeddingScale).toBe(Math.sqrt(32));
    expect([...spec.ropes[0]!.frequencies]).toEqual([...Float64Array.from([0, 1, 2, 3], (i) => 1e6 ** (-i / 4) / 8)]);
    expect([...spec.ropes[1]!.frequencies]).toEqual([...Float64Array.from([0, 1, 2, 3], (i) => 1e4 ** (-i / 4))]);
    expect(tensors.filter((row) => row.plusOne).every((row) => row.name.endsWith("norm"))).toBe(true);
    expect(tensors.filter((row) => row.plusOne).length).toBe(1 + 7 * 6);
    expect((await openMetadata({}, shape)).tensors.some((row) => row.plusOne)).toBe(false);
  });

  test("its pattern: layer_types, or every nth", async () => {
    const types = ["full_attention", ...Array(6).fill("sliding_attention")];
    expect((await openConfig({ layer_types: types }, shape)).spec.cacheGroups[0]!.layers).toEqual([0]);
    expect((await openConfig({ sliding_window_pattern: 2 }, shape)).spec.cacheGroups[1]!.layers).toEqual([1, 3, 5]);
    expect((await openMetadata({ "gemma3.attention.sliding_window_pattern": 2 }, shape)).spec.cacheGroups[1]!.layers).toEqual([1, 3, 5]);
    const whole = await openMetadata({ "gemma3.attention.sliding_window": 0 }, shape);
    expect(whole.spec.cacheGroups.map((group) => group.window)).toEqual([0]);
    await expectError(openConfig({ layer_types: types.slice(1) }, shape), "FILE_INVALID", "layer_types", "7");
    await expectError(openConfig({ layer_types: types.with(0, "linear_attention") }, shape), "UNSUPPORTED_MODEL", "linear_attention");
  });

  test("the 27B model, known by its depth, scales by hidden size / heads", async () => {
    const { spec } = await openMetadata({}, { ...shape, layers: 62, hiddenSize: 64 });
    expect(spec.layers[0]!.mixer.scale).toBe(0.25);
  });

  test("within a model that sees images", async () => {
    for (const prefix of ["language_model.model.", "model.language_model."]) {
      await writeJson(join(directory, "config.json"), {
        model_type: "gemma3",
        eos_token_id: [1, 3],
        text_config: { ...configOf(shape), eos_token_id: 5 },
      });
      const tensors = huggingFaceTensors(shape).map((tensor) => ({ ...tensor, name: tensor.name.replace("model.", prefix) }));
      await writeSafetensors(join(directory, "model.safetensors"), [
        ...tensors,
        { name: "vision_tower.x", type: "I64", shape: [1], data: new Uint8Array(8) },
      ]);
      const { tensors: rows, endTokens } = await openModel(directory);
      expect(rows.length).toBe(2 + 7 * 13);
      expect(endTokens).toEqual([1, 3, 5]);
    }
  });
});

describe("what comes beside the weights", () => {
  test("end tokens: the union of generation_config.json and config.json, those left out that the model lacks", async () => {
    expect((await openModel(directory)).endTokens).toEqual([2]);
    await writeJson(join(directory, "generation_config.json"), { eos_token_id: [7, 2, 7] });
    expect((await openModel(directory)).endTokens).toEqual([7, 2]);
    for (const value of [null, []]) {
      await writeJson(join(directory, "generation_config.json"), { eos_token_id: value });
      expect((await openModel(directory)).endTokens).toEqual([2]);
    }
    await writeJson(join(directory, "generation_config.json"), { eos_token_id: [7] });
    expect((await openModel(directory)).endTokens).toEqual([7, 2]);
    await writeJson(join(directory, "generation_config.json"), { eos_token_id: [48, 5, -1, 2 ** 53] });
    const [model, messages] = await told((warn) => openModel(directory, warn));
    expect(model.endTokens).toEqual([5, 2]);
    expect(messages).toEqual([expect.stringContaining(`eos_token_id names tokens [48,-1,${2 ** 53}]; expected ids from 0 to 47`)]);
    await writeJson(join(directory, "generation_config.json"), { eos_token_id: Array(1025).fill(2) });
    await expectError(openModel(directory), "FILE_INVALID", "eos_token_id has 1025 ids; expected at most 1024");
    for (const id of [1.5, "2", true]) {
      await writeJson(join(directory, "generation_config.json"), { eos_token_id: [id] });
      await expectError(openModel(directory), "FILE_INVALID", "eos_token_id", String(id), "token ids");
    }
  });

  test("end tokens of GGUF: eos, eot and eom, those left out that the model lacks", async () => {
    const tokens = Array.from({ length: 48 }, (_, id) => `<${id}>`);
    const base = { "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.eos_token_id": 3 };
    expect((await openMetadata(base)).endTokens).toEqual([3]);
    const named = { ...base, "tokenizer.ggml.eot_token_id": 4, "tokenizer.ggml.eom_token_id": 5 };
    expect((await openMetadata(named)).endTokens).toEqual([3, 4, 5]);
    expect((await openMetadata(named)).tokenizer).toEqual({ kind: "gguf", path: gguf });
    await openMetadata({ ...named, "tokenizer.ggml.eos_token_id": 48, "tokenizer.ggml.bos_token_id": 2 ** 32 - 1 });
    const [model, messages] = await told((warn) => openModel(gguf, warn));
    expect(model.endTokens).toEqual([4, 5]);
    expect(messages).toEqual([
      expect.stringContaining("token 4294967295;"),
      expect.stringContaining("token 48; expected ids from 0 to 47"),
    ]);
    await expectError(openMetadata({ ...base, "tokenizer.ggml.eos_token_id": "3" }), "FILE_INVALID", 'eos_token_id has "3"');
    await expectError(openMetadata({ ...base, "tokenizer.ggml.tokens": tokens.slice(1) }), "FILE_INVALID", "47 tokens", "48");
    for (const model of [{}, { "tokenizer.ggml.model": "none" }])
      expect(await openMetadata(model)).toMatchObject({ tokenizer: undefined, endTokens: [], chatTemplates: new Map() });
  });

  test("sampling defaults: the five keys of generation_config.json", async () => {
    await writeJson(join(directory, "generation_config.json"), {
      do_sample: false,
      temperature: 0.6,
      top_k: 20,
      top_p: 0.95,
      min_p: 0,
      repetition_penalty: 1.1,
      max_length: 99,
      typical_p: 0.5,
    });
    expect((await openModel(directory)).defaults).toEqual({ temperature: 0.6, topK: 20, topP: 0.95, minP: 0, repetitionPenalty: 1.1 });
    await writeJson(join(directory, "generation_config.json"), { temperature: null });
    expect((await openModel(directory)).defaults).toEqual({});
    for (const [key, value] of Object.entries({ top_k: 1.5, top_p: [1], min_p: "0" })) {
      await writeJson(join(directory, "generation_config.json"), { [key]: value });
      await expectError(openModel(directory), "FILE_INVALID", "generation_config.json", key);
    }
  });

  test.each([
    ['"temperature": -1', { temperature: 0 }],
    ['"temperature": 1e999', { temperature: 1000 }],
    ['"temperature": NaN', {}],
    ['"top_p": 3', { topP: 1 }],
    ['"min_p": -0.1', { minP: 0 }],
    ['"top_k": -1', { topK: 0 }],
    ['"top_k": 10000000000000000000000', { topK: 2 ** 31 - 1 }],
    ['"repetition_penalty": 0', {}],
    ['"repetition_penalty": -2', {}],
  ])("a recommendation of %s gives way to what runs, and is told", async (setting, expected) => {
    await writeFile(join(directory, "generation_config.json"), `{${setting}}`);
    const [{ defaults }, messages] = await told((warn) => openModel(directory, warn));
    expect(defaults).toEqual(expected);
    expect(messages).toContainEqual(expect.stringMatching(/generation_config.json: \w+ is .*; expected .* to .*: .* is taken/));
    expect(() => checkParams({}, defaults, TINY.vocabSize)).not.toThrow();
  });

  test.each([
    { do_sample: false, temperature: 0, top_p: 0, top_k: 0 },
    { temperature: 1, top_k: 1e9, top_p: 1 },
  ])("recommendations of files as published run as they are: %j", async (settings) => {
    await writeJson(join(directory, "generation_config.json"), settings);
    const [{ defaults }, messages] = await told((warn) => openModel(directory, warn));
    expect(defaults).toEqual({ temperature: settings.temperature, topK: settings.top_k, topP: settings.top_p });
    expect(messages).toEqual([]);
    expect(() => checkParams({}, defaults, TINY.vocabSize)).not.toThrow();
  });

  test("configurations are read as Python reads them, and what is irregular is told", async () => {
    const text = JSON.stringify(configOf(TINY)).slice(1);
    await writeFile(join(directory, "config.json"), `\ufeff{"hidden_size": 7, "initializer_range": NaN, ${text}`);
    const [{ spec }, messages] = await told((warn) => openModel(directory, warn));
    expect(spec.hiddenSize).toBe(TINY.hiddenSize);
    expect(messages).toHaveLength(3);
    await writeFile(join(directory, "config.json"), `{"rms_norm_eps": 1, ${text.replace(/"rms_norm_eps":[^,}]+/, '"rms_norm_eps":NaN')}`);
    await expectError(
      openModel(directory, () => {}),
      "FILE_INVALID",
      "rms_norm_eps is NaN",
    );
  });

  test("text alone: a directory without a model, a GGUF that holds a vocabulary", async () => {
    const eos_token = { content: "</s>", lstrip: false };
    const config = { chat_template: "t", add_bos_token: true, eos_token, added_tokens_decoder: { 0: { content: "</s>" } } };
    await rm(directory, { recursive: true });
    await mkdir(directory);
    await writeFile(join(directory, "tokenizer.json"), "{}");
    await writeJson(join(directory, "tokenizer_config.json"), config);
    const tokenizer = { kind: "huggingface", directory, config: { add_bos_token: true, eos_token: "</s>" }, endTokens: [] as number[] };
    expect(await openText(directory)).toEqual({ name: "model", chatTemplates: new Map([["default", "t"]]), tokenizer });
    await writeJson(join(directory, "generation_config.json"), { eos_token_id: [3, 900] });
    expect(await openText(directory)).toMatchObject({ tokenizer: { ...tokenizer, endTokens: [3, 900] } });
    await writeGguf(gguf, { metadata: { "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a"], "tokenizer.chat_template": "u" } });
    expect(await openText(gguf)).toMatchObject({
      name: "model.gguf",
      chatTemplates: new Map([["default", "u"]]),
      tokenizer: { kind: "gguf", path: gguf },
    });
    await expectError(openText(join(root, "absent")), "FILE_NOT_FOUND", "absent", "tokenizer.json");
  });

  test("tokenizer and chat templates", async () => {
    const templates = async (): Promise<Record<string, string>> => Object.fromEntries((await openModel(directory)).chatTemplates);
    expect(await openModel(directory)).toMatchObject({ tokenizer: undefined, chatTemplates: new Map() });
    await writeFile(join(directory, "tokenizer.json"), "{}");
    const settings = join(directory, "tokenizer_config.json");
    await writeJson(settings, { chat_template: "string", model_max_length: 1e30 });
    expect((await openModel(directory)).tokenizer).toMatchObject({ kind: "huggingface", directory });
    expect(await templates()).toEqual({ default: "string" });
    await writeJson(join(directory, "chat_template.json"), { chat_template: "processor's" });
    expect(await templates()).toEqual({ default: "string" });
    const list = [
      { name: "tool_use", template: "a" },
      { name: "default", template: "b" },
    ];
    await writeJson(settings, { chat_template: list });
    expect(await templates()).toEqual({ tool_use: "a", default: "b" });
    await writeJson(settings, { chat_template: 7 });
    await expectError(openModel(directory), "FILE_INVALID", "chat_template is 7");
    await writeFile(join(directory, "chat_template.jinja"), "file");
    expect(await templates()).toEqual({ default: "file" });
    await mkdir(join(directory, "additional_chat_templates"));
    await writeFile(join(directory, "additional_chat_templates", "rag.jinja"), "more");
    expect(await templates()).toEqual({ default: "file", rag: "more" });
    const { chatTemplates } = await openMetadata({ "tokenizer.chat_template": "gguf", "tokenizer.chat_template.tool_use": "named" });
    expect(Object.fromEntries(chatTemplates)).toEqual({ default: "gguf", tool_use: "named" });
    await expectError(openMetadata({ "tokenizer.chat_template.x": 5 }), "FILE_INVALID", "tokenizer.chat_template.x is 5");
  });
});

describe("a directory with .gguf files", () => {
  const folder = join(root, "ggufs");
  const put = async (...names: string[]): Promise<void> => {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
    for (const name of names) await writeGguf(join(folder, name), ggufModel(TINY));
  };

  test("opens the one that is there", async () => {
    await put("model.gguf", "mmproj-model.gguf");
    expect((await openModel(folder)).name).toBe("model.gguf");
    expect((await openText(folder)).name).toBe("model.gguf");
    await writeJson(join(folder, "config.json"), configOf(TINY));
    expect((await openModel(folder)).name).toBe("model.gguf");
  });

  test("lists several", async () => {
    await put("b.gguf", "a.gguf");
    await expectError(openModel(folder), "INVALID_ARGUMENT", folder, "2 models", "a.gguf, b.gguf");
  });

  test("opens what Hugging Face's directories have, where that is there, too", async () => {
    await writeModel(folder, TINY);
    await writeGguf(join(folder, "a.gguf"), ggufModel(TINY));
    expect((await openModel(folder)).name).toBe("ggufs");
  });
});

describe("refusals", () => {
  test("what is not there", async () => {
    await expectError(openModel(join(root, "absent")), "FILE_NOT_FOUND", "absent");
    await mkdir(join(root, "empty"), { recursive: true });
    await expectError(openModel(join(root, "empty")), "FILE_NOT_FOUND", "config.json");
    await rm(join(directory, "model.safetensors"));
    await expectError(openModel(directory), "FILE_NOT_FOUND", "model.safetensors.index.json");
    await expectError(openModel(join(directory, "config.json")), "UNSUPPORTED_FORMAT", "GGUF");
    await writeFile(join(directory, "config.json"), Buffer.from([0x22, 0xff, 0x22]));
    await expectError(openModel(directory), "FILE_INVALID", "UTF-8");
  });

  test("other architectures, by name", async () => {
    for (const type of ["mamba", "qwen2_moe", "toString", "__proto__"])
      await expectError(openConfig({ model_type: type }), "UNSUPPORTED_MODEL", `"${type}"`, "llama, mistral", "gpt_neox");
    await expectError(openConfig({ model_type: 3 }), "FILE_INVALID", "model_type is 3");
    await expectError(openMetadata({ "general.architecture": "qwen2moe" }), "UNSUPPORTED_MODEL", '"qwen2moe"', "gptneox");
    // Files of these say another architecture's name.
    for (const name of ["olmo3", "mistral"])
      await expectError(openMetadata({ "general.architecture": name }), "UNSUPPORTED_MODEL", `"${name}"`);
    await expectError(openMetadata({ "general.architecture": 1 }), "FILE_INVALID", "general.architecture is 1");
  });

  test("features that are not computed, by key", async () => {
    const features = {
      attn_logit_softcapping: 50,
      final_logit_softcapping: 30,
      hidden_act: "relu",
      sliding_window: 64,
      logit_scale: 0.5,
      use_parallel_residual: true,
      use_bidirectional_attention: true,
      num_local_experts: 8,
      partial_rotary_factor: 0.5,
      rope_scaling: { type: "dynamic", factor: 2 },
    };
    for (const [key, value] of Object.entries(features)) await expectError(openConfig({ [key]: value }), "UNSUPPORTED_MODEL", key);
    const qwen3 = { ...TINY, architecture: "qwen3" } as const;
    await expectError(openConfig({ layer_types: ["full_attention", "sliding_attention"] }, qwen3), "FILE_INVALID", "layer_types");
    await expectError(openConfig({ layer_types: ["full_attention", "conv"] }, qwen3), "UNSUPPORTED_MODEL", "layer_types");
    await expectError(openConfig({ rope_parameters: { partial_rotary_factor: 0.5 } }, qwen3), "UNSUPPORTED_MODEL", "partial_rotary_factor");
    const gemma3 = { ...TINY, architecture: "gemma3" } as const;
    for (const kind of ["full_attention", "sliding_attention"]) {
      const ropes = { full_attention: {}, sliding_attention: {}, [kind]: { partial_rotary_factor: 0.5 } };
      await expectError(openConfig({ rope_parameters: ropes }, gemma3), "UNSUPPORTED_MODEL", "partial_rotary_factor");
    }
    const settings = {
      expert_count: 4,
      "attention.scale": 0.5,
      "rope.dimension_count": 4,
      "attention.causal": false,
      "attention.value_length": 16,
    };
    for (const [key, value] of Object.entries(settings))
      await expectError(openMetadata({ [`llama.${key}`]: value }), "UNSUPPORTED_MODEL", `llama.${key}`);
    await expectError(openMetadata({ "llama.attention.head_count_kv": [2, 1] }), "UNSUPPORTED_MODEL", "head_count_kv", "different sizes");
    expect((await openMetadata({ "llama.attention.head_count_kv": [2, 2] })).spec.layers[1]!.mixer.kvHeads).toBe(2);
  });

  test("weights that another program quantized, by the method and a tensor", async () => {
    const refused = (settings: unknown, ...words: string[]) =>
      expectError(openConfig({ quantization_config: settings }), "UNSUPPORTED_FORMAT", "quantization_config", ...words);
    await refused({ bits: 4, group_size: 128, desc_act: false, damp_percent: 0.1, sym: true, quant_method: "gptq" }, '"gptq"', "BF16");
    await refused({ quant_method: 7 }, "7");
    await refused({}, "quant_method is missing");
    await refused({ bits: 4 }, "quant_method is missing");
    await expectError(openConfig({ quantization_config: "awq" }), "FILE_INVALID", "quantization_config");
    expect((await openConfig({ quantization_config: null })).tensors.length).toBeGreaterThan(0);
    const weights = [{ name: "model.layers.0.mlp.up_proj.qweight", type: "I32", shape: [8, 2] }];
    await writeJson(join(directory, "config.json"), { ...configOf(TINY), quantization_config: { quant_method: "awq" } });
    await writeSafetensors(join(directory, "model.safetensors"), weights);
    await expectError(openModel(directory), "UNSUPPORTED_FORMAT", '"awq"', "model.layers.0.mlp.up_proj.qweight", "I32");
    await rm(join(directory, "model.safetensors"));
    await expectError(openModel(directory), "UNSUPPORTED_FORMAT", '"awq"');
  });

  test("sizes out of range, by key", async () => {
    const wrong = {
      num_hidden_layers: [0, -1, 1025, 2 ** 53, 1.5, "2", null, [2]],
      num_attention_heads: [0, 1025, true],
      num_key_value_heads: [0, 3, 5],
      hidden_size: [0, 65537],
      head_dim: [7, 0, 2048],
      intermediate_size: [0, {}],
      vocab_size: [0, 2 ** 24 + 1],
      max_position_embeddings: [0, 2 ** 31],
      rms_norm_eps: [0, -1e-6, 1, "1e-6"],
      rope_theta: [0, 1],
    };
    for (const [key, values] of Object.entries(wrong))
      for (const value of values) await expectError(openConfig({ [key]: value }), "FILE_INVALID", "config.json", key);
    for (const key of ["block_count", "context_length", "embedding_length", "feed_forward_length", "attention.head_count"])
      for (const value of [0, { type: "u64", value: 2 ** 40 }, -1.5, "x", Array(65).fill(1)] as MetadataValue[])
        await expectError(openMetadata({ [`llama.${key}`]: value }), "FILE_INVALID", `llama.${key}`);
  });

  test("tensors of wrong shapes and types, missing and unknown ones", async () => {
    await expectError(openConfig({ intermediate_size: 63 }), "FILE_INVALID", "mlp.gate_proj.weight", "[64,32]", "[63,32]");
    await expectError(openConfig({ num_hidden_layers: 3 }), "FILE_INVALID", "model.layers.2.input_layernorm.weight", "missing");
    await expectError(openConfig({ num_hidden_layers: 1 }), "UNSUPPORTED_MODEL", "model.layers.1.", "has no place", "1 layer");
    await writeJson(join(directory, "config.json"), configOf(TINY));
    const tensors = huggingFaceTensors(TINY);
    const extra = (name: string, type: string) => [...tensors, { name, type, shape: [4], data: new Uint8Array(type === "I64" ? 32 : 16) }];
    await writeSafetensors(join(directory, "model.safetensors"), extra("model.layers.0.self_attn.rotary_emb.inv_freq", "F32"));
    expect((await openModel(directory)).tensors.length).toBe(tensors.length);
    await writeSafetensors(join(directory, "model.safetensors"), extra("model.layers.0.self_attn.sinks", "F32"));
    await expectError(openModel(directory), "UNSUPPORTED_MODEL", "self_attn.sinks");
    await writeSafetensors(join(directory, "model.safetensors"), tensors.with(1, { name: "model.norm.weight", type: "F64", shape: [32] }));
    await expectError(openModel(directory), "UNSUPPORTED_FORMAT", "model.norm.weight", "F64", "BF16");
    const model = ggufModel(TINY);
    await writeGguf(gguf, { ...model, tensors: model.tensors.with(1, { name: "output_norm.weight", type: "Q8_0", shape: [32] }) });
    await expectError(openModel(gguf), "UNSUPPORTED_FORMAT", "output_norm.weight", "Q8_0");
    await writeGguf(gguf, { ...model, tensors: [...model.tensors, { name: "blk.0.attn_sinks.weight", type: "F32", shape: [4] }] });
    await expectError(openModel(gguf), "UNSUPPORTED_MODEL", "blk.0.attn_sinks.weight");
    await writeGguf(gguf, { ...model, tensors: model.tensors.slice(1) });
    await expectError(openModel(gguf), "FILE_INVALID", "token_embd.weight is missing");
  });

  test("types of GGUF that are not read, by name and tensor", async () => {
    const model = ggufModel({ ...TINY, hiddenSize: 256 });
    for (const type of ["IQ2_XXS", "IQ3_S", "TQ1_0", "Q8_K", "F64"]) {
      const tensors = model.tensors.map(({ name, shape, ...tensor }) =>
        name === "blk.1.attn_q.weight" ? { name, shape, type } : { name, shape, ...tensor },
      );
      await writeGguf(gguf, { ...model, tensors });
      await expectError(openModel(gguf), "UNSUPPORTED_FORMAT", '"blk.1.attn_q.weight"', `is ${type};`, "MXFP4");
    }
  });

  test("rope_freqs.weight", async () => {
    const model = ggufModel(TINY);
    const open = async (values: number[], type: string = "F32") => {
      const data = type === "F32" ? encodeFloats("F32", values) : new Uint8Array(values.length * 2);
      await writeGguf(gguf, { ...model, tensors: [{ name: "rope_freqs.weight", type, shape: [values.length], data }, ...model.tensors] });
      return openModel(gguf);
    };
    expect((await open([1, 2, 4, 8])).spec.ropes[0]!.frequencies[3]).toBeCloseTo(1e-3 / 8, 12);
    await expectError(open([1, 2]), "FILE_INVALID", "rope_freqs.weight has 2");
    await expectError(open([1, 2, 0, 8]), "FILE_INVALID", "rope_freqs.weight holds 0");
    await expectError(open([1, 2, 4, Number.NaN]), "FILE_INVALID", "NaN");
    await expectError(open([1, 2, 4, 8], "F16"), "FILE_INVALID", "F16");
  });
});

/** Each mutant opens or is refused by a typed error, soon. */
async function survive(seeds: number, write: (seed: number) => Promise<string>): Promise<number> {
  let opened = 0;
  for (let seed = 0; seed < seeds; seed++) {
    const path = await write(seed);
    const start = performance.now();
    try {
      await openModel(path, () => {});
      opened++;
    } catch (error) {
      const known = error instanceof KvasirError && /^(FILE_|UNSUPPORTED_(FORMAT|MODEL))/.test(error.code);
      if (!known) throw new Error(`seed ${seed}`, { cause: error });
    }
    if (performance.now() - start > 2000) throw new Error(`seed ${seed} took more than 2 s`);
  }
  return opened;
}

describe("mutants", () => {
  test("300 of a GGUF file", async () => {
    const tokens = Array.from({ length: 48 }, (_, id) => `<${id}>`);
    const model = ggufModel({ ...TINY, layers: 1 });
    const bytes = ggufBytes({ ...model, metadata: { ...model.metadata, "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": tokens } });
    const opened = await survive(300, async (seed) => {
      await writeFile(gguf, mutate(bytes, seed));
      return gguf;
    });
    expect(opened).toBeLessThan(150);
  });

  test("300 of config.json", async () => {
    const whole = {
      ...configOf({ ...TINY, architecture: "gemma3" }),
      rope_parameters: { full_attention: { rope_type: "yarn", factor: 4, beta_fast: 32 } },
    };
    await mkdir(directory, { recursive: true });
    await writeModel(directory, { ...TINY, architecture: "gemma3" });
    const opened = await survive(300, async (seed) => {
      await writeFile(join(directory, "config.json"), mutateJson(JSON.stringify(whole), randomIntegers(seed)));
      return directory;
    });
    expect(opened).toBeLessThan(150);
  });
});
