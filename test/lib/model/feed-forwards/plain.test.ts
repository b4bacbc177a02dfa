import { expect, test } from "vitest";
import { plain } from "../../../../lib/model/feed-forwards/plain.ts";

test("tensors: two matrices that every model has, a bias for each", () => {
  const tensors = plain.tensors({ kind: "plain", size: 51, activation: "gelu" }, 37);
  expect(tensors.map(({ name, shape, extra }) => [name, shape, extra])).toEqual([
    ["up", [51, 37], undefined],
    ["down", [37, 51], undefined],
    ["up_bias", [51], "mlpBias"],
    ["down_bias", [37], "mlpBias"],
  ]);
});
