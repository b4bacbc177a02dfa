import { describe, expect, it } from "vitest";
import {
  emptyMatrix,
  expectClose,
  expectRefused,
  expectSameBits,
  GAPS,
  gathered,
  op,
  spread,
  VARIANTS,
  type Variant,
} from "../support/ops.ts";
import { Random } from "../support/reference.ts";

function run(variant: Variant, values: Float32Array, cols: number, scale: number, softcap: number, gap = 0): Float32Array {
  const x = values.length === 0 ? emptyMatrix(0, cols, gap) : spread(values, cols, gap);
  op("scale_logits", variant, { x, rows: values.length / cols, cols, scale, softcap });
  return gathered(x, cols);
}

describe.each([
  [0, 8],
  [1, 1],
  [3, 10],
  [32, 577],
  [1, 70_001],
])("scale_logits [%d, %d]", (rows, cols) => {
  const values = new Random(cols).floats(rows * cols, 40);

  it.each([
    [0.125, 0],
    [1, 30],
    [0.5, 6],
    [3, 0.25],
  ])("by %d, capped at %d", (scale, softcap) => {
    const cap = (x: number) => (softcap > 0 ? softcap * Math.tanh(x / softcap) : x);
    const expected = Float64Array.from(values, (x) => cap(x * scale));
    for (const variant of VARIANTS) {
      for (const gap of GAPS)
        expectClose(run(variant, values, cols, scale, softcap, gap), expected, () => 4e-7 * (softcap || 1e-30) + 1e-37);
      const all = run(variant, values, cols, scale, softcap);
      const last = values.slice(values.length - cols);
      if (rows > 0) expectSameBits(run({ isa: variant.isa, threads: 1 }, last, cols, scale, softcap), all.slice(values.length - cols));
    }
  });
});

it("scale_logits saturates, and keeps NaN", () => {
  for (const variant of VARIANTS) {
    const values = Float32Array.of(1e30, Number.POSITIVE_INFINITY, -1e30, Number.NEGATIVE_INFINITY, 0, Number.NaN);
    expect([...run(variant, values, 6, 1, 30)]).toEqual([30, 30, -30, -30, 0, Number.NaN]);
  }
});

it("scale_logits refuses what is no size", () => {
  const args = { x: new Float32Array(4), rows: 1, cols: 4, scale: 1, softcap: 0 };
  for (const change of [{ rows: -1 }, { cols: 0 }, { rows: 2 }, { x: new Float64Array(4) }, { scale: "1" }]) {
    expectRefused("scale_logits", { ...args, ...change });
  }
});
