import { expect, test } from "vitest";
import { buildDense, type DenseForm } from "../../../lib/model/dense.ts";
import { type Extra, fused, fusedTransposed, ggufLayout, huggingFaceLayout, type NormName } from "../../../lib/model/layouts.ts";

const sizes = { vocabSize: 48, hiddenSize: 32, layers: 2, queryHeads: 4, kvHeads: 2, headSize: 8, feedForwardSize: 64 };
const form: DenseForm = {
  norm: { kind: "rms", epsilon: 1e-6 },
  residual: "sequential",
  feedForward: { kind: "gated", activation: "silu" },
  attention: { scale: 1, softcap: 0, qkNorm: "head" },
  scales: { embeddingScale: 1, residualScale: 1, logitScale: 1, logitSoftcap: 0 },
  learnedPositions: 0,
  ropes: [],
  layer: () => ({ window: 0, rope: 0 }),
};
const specOf = (change: Partial<DenseForm>) => buildDense({ architecture: "test", ...sizes, contextLength: 128 }, { ...form, ...change });
const spec = specOf({});
const plain = specOf({ attention: { ...form.attention, qkNorm: "none" } });
const extras: Extra[] = ["qkvBias", "outBias", "mlpBias"];
const norms: NormName[] = ["attn_norm", "mlp_norm"];
const allNorms: NormName[] = ["attn_norm", "post_attn_norm", "mlp_norm", "post_mlp_norm"];
const common = { prefix: "model.", headPrefix: "", layers: "layers", ignored: [], normsPlusOne: false, norms };

test("names and shapes are one list in both dialects", () => {
  const bare = ({ tensors }: ReturnType<typeof ggufLayout>) => tensors.map(({ name, shape }) => [name, shape]);
  const huggingFace = huggingFaceLayout(spec, { ...common, norms: allNorms, extras, tied: false });
  expect(bare(huggingFace)).toEqual(bare(ggufLayout(spec, { norms: allNorms, extras, optional: [] })));
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

test("a layer without extras has nine tensors, one of plain MLPs with one norm seven", () => {
  expect(huggingFaceLayout(plain, { ...common, tied: true }).tensors.length).toBe(2 + 2 * 9);
  const small = specOf({ attention: { ...form.attention, qkNorm: "none" }, feedForward: { kind: "plain", activation: "gelu" } });
  expect(huggingFaceLayout(small, { ...common, tied: true, norms: ["attn_norm"] }).tensors.length).toBe(2 + 2 * 7);
});

test("biases of norms, and learned positions", () => {
  const learned = specOf({ learnedPositions: 7 });
  const { tensors } = ggufLayout(learned, { norms, extras: ["normBias"], optional: [] });
  const sources = new Map(tensors.map(({ name, source }) => [name, source]));
  expect(sources.get("final_norm_bias")).toBe("output_norm.bias");
  expect(sources.get("layers.1.mlp_norm_bias")).toBe("blk.1.ffn_norm.bias");
  expect(tensors.find(({ name }) => name === "position_embed")).toMatchObject({ source: "position_embd.weight", shape: [7, 32] });
});

test("an architecture's own names and places; a bias is where its weight is", () => {
  const names = { mlp_norm: "pre_feedforward_layernorm.weight", lm_head: "output.weight", o: "attention.dense.weight" };
  const { tensors } = huggingFaceLayout(spec, { ...common, tied: false, prefix: "decoder.", layers: "h", extras, names });
  const sources = new Map(tensors.map(({ name, source }) => [name, source]));
  expect(sources.get("lm_head")).toBe("output.weight");
  expect(sources.get("embed")).toBe("decoder.embed_tokens.weight");
  expect(sources.get("layers.0.mlp_norm")).toBe("decoder.h.0.pre_feedforward_layernorm.weight");
  expect(sources.get("layers.0.q")).toBe("decoder.h.0.self_attn.q_proj.weight");
  expect(sources.get("layers.0.o_bias")).toBe("decoder.h.0.attention.dense.bias");
});

test("parts of a fused tensor: rows one after the other, or columns where it lies transposed", () => {
  const parts = { q: 4, k: 2, v: 2 };
  expect(fused("qkv.weight", 3, parts).k).toEqual({ source: "qkv.weight", shape: [8, 3], first: 4 });
  const transposed = fusedTransposed("qkv.weight", 3, parts);
  expect(transposed.v).toEqual({ source: "qkv.weight", shape: [3, 8], first: 6, layout: { kind: "transposed", stride: 8 } });
  const { tensors } = huggingFaceLayout(spec, { ...common, tied: true, extras, names: transposed });
  expect(tensors.find(({ name }) => name === "layers.1.v_bias")?.source).toEqual({
    source: "model.layers.1.qkv.bias",
    shape: [8],
    first: 6,
    layout: undefined,
  });
});

test("GGUF: what the metadata does not tell is optional", () => {
  const { tensors } = ggufLayout(spec, { norms, optional: ["mlpBias"] });
  const optional = tensors.filter((tensor) => tensor.optional).map(({ source }) => source);
  expect(optional).toEqual(["output.weight", ...[0, 1].flatMap((n) => ["gate", "up", "down"].map((name) => `blk.${n}.ffn_${name}.bias`))]);
  expect(tensors.some(({ source }) => source === "blk.1.attn_q_norm.weight")).toBe(true);
  expect(tensors.some(({ source }) => source === "blk.1.attn_q.bias")).toBe(false);
});
