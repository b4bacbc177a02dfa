import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { openModel } from "../../../lib/model/open.ts";
import type { ModelSource, ModelSpec } from "../../../lib/model/spec.ts";
import { expectError } from "../../support/expect.ts";
import { hasShared, sharedPath } from "../../support/shared.ts";

const OPENS = ["llama", "llama-bias", "llama3-rope", "llama3-rope-v4", "llama-linear", "llama-yarn", "qwen3", "gemma3", "gemma3-vl"];

const fixtures = hasShared ? readdirSync(sharedPath("fixtures")).filter((name) => !name.endsWith(".md")) : [];
const twins = fixtures.filter((name) => existsSync(sharedPath("fixtures", name, "model.gguf")));
const list = (names: string[]) => (names.length > 0 ? names : ["(../shared is absent)"]);

/** What must be equal of two forms of one model: GGUF's floats are float32, its llama rotates neighbours. */
function comparable(spec: ModelSpec): unknown {
  return {
    ...spec,
    normEpsilon: Math.fround(spec.normEpsilon),
    ropes: spec.ropes.map(({ scale, frequencies }) => ({
      scale: Math.fround(scale),
      frequencies: [...frequencies].map((f) => f.toPrecision(6)),
    })),
  };
}

const rows = ({ tensors }: ModelSource) => tensors.map(({ name, shape }) => `${name} [${shape}]`).sort();

describe.skipIf(!hasShared)("the reference fixtures", () => {
  test.each(list(fixtures.filter((name) => OPENS.includes(name))))("%s opens", async (name) => {
    const model = await openModel(sharedPath("fixtures", name));
    expect(model.endTokens).toEqual([2]);
    expect(model.spec).toMatchObject({ vocabSize: 320, hiddenSize: 96, contextLength: 512 });
  });

  test.each(list(twins.filter((name) => OPENS.includes(name))))("%s and its GGUF twin are one model", async (name) => {
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

  test.each(list(fixtures.filter((name) => !OPENS.includes(name))))("%s is refused by its architecture's name", async (name) => {
    const stem = /^[a-z]+/.exec(name)![0];
    await expectError(openModel(sharedPath("fixtures", name)), "UNSUPPORTED_MODEL", new RegExp(`architecture "${stem}`));
    if (twins.includes(name))
      await expectError(openModel(sharedPath("fixtures", name, "model.gguf")), "UNSUPPORTED_MODEL", /architecture "|llama\.expert_count/);
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
