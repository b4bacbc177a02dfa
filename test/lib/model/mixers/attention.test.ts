import { expect, test } from "vitest";
import { type AttentionSpec, attention } from "../../../../lib/model/mixers/attention.ts";

const spec: AttentionSpec = { kind: "attention", queryHeads: 6, kvHeads: 2, headSize: 10, scale: 1, rope: 0, cacheGroup: 0 };

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
  expect(always.map(({ name }) => name)).toEqual(["q", "k", "v", "o"]);
});

test("cache: keys and values of the kv heads", () => {
  expect(attention.cacheParts(spec)).toEqual([
    { elements: 20, type: "kv" },
    { elements: 20, type: "kv" },
  ]);
});
