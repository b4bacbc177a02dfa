import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { readJson } from "../../../lib/files/json.ts";
import { familyOfModelType } from "../../../lib/model/families/index.ts";
import { openModel } from "../../../lib/model/open.ts";
import type { ModelSource, ModelSpec } from "../../../lib/model/spec.ts";
import { expectError } from "../../support/expect.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";

const LATER = ["deepseek-v3", "gemma4", "glm4-moe", "gpt-oss", "granite4", "lfm2", "lfm2-moe", "mamba2", "mixtral", "nemotron-h"];
LATER.push("olmoe", "qwen3-moe", "qwen3-next", "qwen3.5", "qwen3.5-moe");

/**
 * Fields that change nothing of what is computed here: ids and ends (read elsewhere), what training and other outputs need, and both names of
 * rope's parameters, which every architecture has.
 */
const INERT = new RegExp(
  "^(model_type|architectures|dtype|torch_dtype|transformers_version|(bos|eos|pad)_token_id|use_cache|initializer_range|pretraining_tp|.*_p?drop(out)?" +
    "|summary_.*|is_decoder|rope_parameters|rope_scaling)$",
);

const fixtures = hasShared ? readdirSync(sharedPath("fixtures")).filter((name) => !name.endsWith(".md")) : [];
const dense = fixtures.filter((name) => !LATER.includes(name));
const twins = fixtures.filter((name) => existsSync(sharedPath("fixtures", name, "model.gguf")));
const list = (names: string[]) => (names.length > 0 ? names : ["(../shared is absent)"]);

/** What must be equal of two forms of one model: GGUF's floats are float32, some of its ropes rotate neighbours. */
function comparable(spec: ModelSpec): unknown {
  const whole = { ...spec, architecture: "", ropes: [] }; // GGUF files of olmo3 say olmo2
  const numbers = JSON.stringify(whole, (_, value: unknown) =>
    typeof value === "number" ? Number(Math.fround(value).toPrecision(6)) : value,
  );
  const frequencies = (all: Float64Array | undefined) => all && [...all].map((f) => f.toPrecision(5));
  return {
    whole: JSON.parse(numbers),
    ropes: spec.ropes.map((rope) => [
      rope.scale.toPrecision(6),
      frequencies(rope.frequencies),
      rope.long?.beyond,
      frequencies(rope.long?.frequencies),
    ]),
  };
}

const rows = ({ tensors }: ModelSource) => tensors.map(({ name, shape }) => `${name} [${shape}]`).sort();

describe.skipIf(!hasShared)("the reference fixtures", () => {
  test.each(list(dense))("%s opens", async (name) => {
    const model = await openModel(sharedPath("fixtures", name));
    expect(model.endTokens).toEqual([2]);
    expect(model.spec).toMatchObject({ vocabSize: 320, hiddenSize: 96, contextLength: name === "gpt2" ? 256 : 512 });
  });

  test.each(list(dense))("%s: every field of its config.json is accounted for", async (name) => {
    const stored = (await readJson(sharedPath("fixtures", name, "config.json"), () => {})) as Record<string, unknown>;
    const config = (stored.text_config ?? stored) as Record<string, unknown>;
    const { fields } = familyOfModelType(name, String(config.model_type));
    expect(Object.keys(config).filter((key) => !fields.includes(key) && !INERT.test(key))).toEqual([]);
  });

  test.each(list(twins.filter((name) => dense.includes(name))))("%s and its GGUF twin are one model", async (name) => {
    const [a, b] = [await openModel(sharedPath("fixtures", name)), await openModel(sharedPath("fixtures", name, "model.gguf"))];
    expect(comparable(b.spec)).toEqual(comparable(a.spec));
    expect(rows(b)).toEqual(rows(a));
  });

  test("the older dialect says the same", async () => {
    const [a, b] = [await openModel(sharedPath("fixtures", "llama3-rope")), await openModel(sharedPath("fixtures", "llama3-rope-v4"))];
    expect(b.spec).toEqual(a.spec);
    const gemma = await openModel(sharedPath("fixtures", "gemma3-vl"));
    expect(gemma.spec.layers[0]!.mixer.scale).toBe(24 ** -0.5);
    expect(gemma.spec.cacheGroups).toEqual((await openModel(sharedPath("fixtures", "gemma3"))).spec.cacheGroups);
  });

  test.each(list(LATER.filter((name) => fixtures.includes(name))))("%s is refused by its architecture's name", async (name) => {
    const stem = /^[a-z]+/.exec(name)![0];
    const start = performance.now();
    await expectError(openModel(sharedPath("fixtures", name)), "UNSUPPORTED_MODEL", new RegExp(`architecture "${stem}`));
    if (twins.includes(name))
      await expectError(openModel(sharedPath("fixtures", name, "model.gguf")), "UNSUPPORTED_MODEL", /architecture "|llama\.expert_count/);
    expect(performance.now() - start).toBeLessThan(twins.includes(name) ? 100 : 50);
  });

  test("every type of quants/ opens", async () => {
    for (const file of readdirSync(sharedPath("quants")).filter((name) => name.endsWith(".gguf"))) {
      const type = file.slice(0, -5);
      expect((await openModel(sharedPath("quants", file))).tensors.some((row) => row.type === type)).toBe(true);
    }
  });

  test("the trained models", async () => {
    for (const path of [
      "tales",
      "tales-draft",
      "tales/tales-q8_0.gguf",
      "tales/tales-q4_0.gguf",
      "tales/tales-q4_k_m.gguf",
      "tales-draft/tales-draft-bf16.gguf",
    ]) {
      const model = await openModel(sharedPath("models", path));
      expect(model).toMatchObject({
        endTokens: [0, 2],
        spec: { vocabSize: 8192, contextLength: 1024 },
      });
      expect(model.chatTemplates.get("default")).toContain("messages");
      expect(model.tokenizer?.kind).toBe(path.endsWith(".gguf") ? "gguf" : "huggingface");
    }
    const mixed = await openModel(sharedPath("models", "tales/tales-q4_k_m.gguf"));
    expect(new Set(mixed.tensors.map((row) => row.type))).toEqual(new Set(["F32", "Q5_0", "Q8_0", "Q4_K", "Q6_K"]));
    expect((await openModel(sharedPath("models", "stories260K", "stories260K.gguf"))).spec.layers[0]!.mixer.headSize).toBe(8);
  });
});
