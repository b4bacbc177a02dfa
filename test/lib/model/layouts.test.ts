import { expect, test } from "vitest";
import { buildDense } from "../../../lib/model/dense.ts";
import { type Extra, ggufLayout, huggingFaceLayout } from "../../../lib/model/layouts.ts";

const sizes = { vocabSize: 48, hiddenSize: 32, layers: 2, queryHeads: 4, kvHeads: 2, headSize: 8, feedForwardSize: 64 };
const spec = buildDense({ architecture: "test", ...sizes, contextLength: 128, normEpsilon: 1e-6 }, { activation: "silu", ropes: [] });
const extras: Extra[] = ["attentionBias", "qkNorm", "mlpBias", "sandwichNorms"];

test("names and shapes are one list in both dialects", () => {
  const bare = ({ tensors }: ReturnType<typeof ggufLayout>) => tensors.map(({ name, shape }) => [name, shape]);
  const huggingFace = huggingFaceLayout(spec, { extras, tied: false });
  expect(bare(huggingFace)).toEqual(bare(ggufLayout(spec, { extras, optional: [] })));
  const layer = ["attn_norm", "q", "k", "v", "o", "q_bias", "k_bias", "v_bias", "o_bias", "q_norm", "k_norm", "post_attn_norm"];
  layer.push("mlp_norm", "gate", "up", "down", "gate_bias", "up_bias", "down_bias", "post_mlp_norm");
  const names = ["embed", "final_norm", "lm_head", ...[0, 1].flatMap((index) => layer.map((name) => `layers.${index}.${name}`))];
  expect(huggingFace.tensors.map(({ name }) => name)).toEqual(names);
  expect(huggingFace.tensors.find(({ name }) => name === "layers.1.down")).toEqual({
    name: "layers.1.down",
    source: "model.layers.1.mlp.down_proj.weight",
    shape: [32, 64],
    optional: false,
  });
});

test("a layer without extras has nine tensors", () => {
  expect(huggingFaceLayout(spec, { tied: true }).tensors.length).toBe(2 + 2 * 9);
});

test("an architecture's own names and places", () => {
  const names = { mlp_norm: "pre_feedforward_layernorm.weight" };
  const { tensors } = huggingFaceLayout(spec, { tied: false, prefix: "decoder.", head: "output.weight", names });
  const sources = new Map(tensors.map(({ name, source }) => [name, source]));
  expect(sources.get("lm_head")).toBe("output.weight");
  expect(sources.get("embed")).toBe("decoder.embed_tokens.weight");
  expect(sources.get("layers.0.mlp_norm")).toBe("decoder.layers.0.pre_feedforward_layernorm.weight");
  expect(sources.get("layers.0.q")).toBe("decoder.layers.0.self_attn.q_proj.weight");
});

test("GGUF: what the metadata does not tell is optional", () => {
  const { tensors } = ggufLayout(spec, { extras: ["qkNorm"], optional: ["mlpBias"] });
  const optional = tensors.filter((tensor) => tensor.optional).map(({ source }) => source);
  expect(optional).toEqual(["output.weight", ...[0, 1].flatMap((n) => ["gate", "up", "down"].map((name) => `blk.${n}.ffn_${name}.bias`))]);
  expect(tensors.some(({ source }) => source === "blk.1.attn_q_norm.weight")).toBe(true);
  expect(tensors.some(({ source }) => source === "blk.1.attn_q.bias")).toBe(false);
});
