import { expect, test } from "vitest";
import { gated } from "../../../../lib/model/feed-forwards/gated.ts";

test("tensors: three matrices that every model has, a bias for each", () => {
  const tensors = gated.tensors({ kind: "gated", size: 51, activation: "silu" }, 37);
  expect(tensors.map(({ name, shape, extra }) => [name, shape, extra])).toEqual([
    ["gate", [51, 37], undefined],
    ["up", [51, 37], undefined],
    ["down", [37, 51], undefined],
    ["gate_bias", [51], "mlpBias"],
    ["up_bias", [51], "mlpBias"],
    ["down_bias", [37], "mlpBias"],
  ]);
});
