import { expect, test } from "vitest";
import { type AttentionSpec, attention } from "../../../../lib/model/mixers/attention.ts";

const spec: AttentionSpec = {
  kind: "attention",
  queryHeads: 6,
  kvHeads: 2,
  headSize: 10,
  scale: 1,
  softcap: 0,
  qkNorm: "head",
  rope: 0,
  cacheGroup: 0,
};

test("tensors: shapes by heads, which need not add up to the hidden size", () => {
  const shapes = Object.fromEntries(attention.tensors(spec, 37).map(({ name, shape }) => [name, shape]));
  expect(shapes).toEqual({
    q: [60, 37],
    k: [20, 37],
    v: [20, 37],
    o: [37, 60],
    q_bias: [60],
    k_bias: [20],
    v_bias: [20],
    o_bias: [37],
    q_norm: [10],
    k_norm: [10],
  });
});

test("what every model has: four matrices", () => {
  const always = attention.tensors(spec, 37).filter(({ extra }) => extra === undefined);
  expect(always.map(({ name }) => name)).toEqual(["q", "k", "v", "o", "q_norm", "k_norm"]);
});

test("norms of q and k: of every head, of the row of heads, of each head", () => {
  const norms = (qkNorm: AttentionSpec["qkNorm"]) =>
    attention
      .tensors({ ...spec, qkNorm }, 37)
      .filter(({ name }) => name.includes("norm"))
      .map(({ name, shape, gguf }) => [name, shape, gguf]);
  expect(norms("none")).toEqual([]);
  expect(norms("head").map(([, shape]) => shape)).toEqual([[10], [10]]);
  expect(norms("row").map(([, shape]) => shape)).toEqual([[60], [20]]);
  expect(norms("each").length).toBe(8);
  expect(norms("each")[7]).toEqual(["k_norm.1", [10], { source: "attn_k_norm.weight", shape: [2, 10], first: 1 }]);
});

test("cache: keys and values of the kv heads", () => {
  expect(attention.cacheParts(spec)).toEqual([
    { elements: 20, type: "kv" },
    { elements: 20, type: "kv" },
  ]);
});
