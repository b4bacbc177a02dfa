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
import { normReference, Random } from "../support/reference.ts";

const EPSILON = 1e-5;

interface Case {
  rows: number;
  cols: number;
  x: Float32Array;
  delta?: Float32Array | undefined;
  postWeight?: Float32Array | undefined;
  weight?: Float32Array | undefined;
  bias?: Float32Array | undefined;
  norm?: "rms" | "layer";
  deltaScale?: number;
}

function makeCase(rows: number, cols: number) {
  const random = new Random(rows * 1000 + cols);
  const x = random.floats(rows * cols, 3);
  return { rows, cols, x, delta: random.floats(rows * cols), postWeight: random.floats(cols), weight: random.floats(cols) };
}

/** What the op leaves in x, and in y where there is a weight. */
function run(variant: Variant, c: Case, gap = 0): { x: Float32Array; y: Float32Array } {
  const { rows, cols, postWeight, weight, bias, norm, deltaScale } = c;
  const x = spread(c.x, cols, gap);
  const delta = c.delta && spread(c.delta, cols, 2 * gap);
  const y = emptyMatrix(rows, cols, 3 * gap);
  op("add_norm", variant, { rows, cols, epsilon: EPSILON, x, delta, postWeight, weight, bias, norm, deltaScale, y: weight && y });
  return { x: gathered(x, cols), y: gathered(y, cols) };
}

describe.each([
  [0, 8],
  [1, 1],
  [3, 10],
  [5, 64],
  [2, 577],
  [200, 384],
  [1, 70_001],
])("add_norm [%d, %d]", (rows, cols) => {
  const c = makeCase(rows, cols);
  const variants = VARIANTS.flatMap((variant) => GAPS.map((gap) => ({ variant, gap })));
  const expectNorm = (y: Float32Array, x: Float32Array) => {
    const expected = normReference(x, c.weight, EPSILON);
    expectClose(y, expected, (i) => 1e-6 * Math.abs(expected[i]!) + 1e-30);
  };

  it("without delta: x stays, y is its norm", () => {
    for (const { variant, gap } of variants) {
      const { x, y } = run(variant, { rows, cols, x: c.x, weight: c.weight }, gap);
      expectSameBits(x, c.x);
      expectNorm(y, c.x);
    }
  });

  it("with delta: x is the sum, y its norm; without y the same x", () => {
    const sum = c.x.map((v, i) => v + c.delta[i]!);
    for (const { variant, gap } of variants) {
      const { x, y } = run(variant, { rows, cols, x: c.x, delta: c.delta, weight: c.weight }, gap);
      expectSameBits(x, sum);
      expectNorm(y, sum);
      expectSameBits(run(variant, { rows, cols, x: c.x, delta: c.delta }, gap).x, sum);
    }
  });

  it("with delta and its norm: as if delta had been normed before", () => {
    const post = normReference(c.delta, c.postWeight, EPSILON);
    for (const { variant, gap } of variants) {
      const { x, y } = run(variant, c, gap);
      expectClose(
        x,
        c.x.map((v, i) => v + post[i]!),
        (i) => 1e-6 * Math.abs(post[i]!) + 2 ** -23 * Math.abs(c.x[i]! + post[i]!) + 1e-30,
      );
      expectNorm(y, x);
      const normed = run(variant, { rows, cols, x: c.delta, weight: c.postWeight }).y;
      const { x: sum, y: normOfSum } = run(variant, { rows, cols, x: c.x, delta: normed, weight: c.weight });
      expectSameBits(x, sum);
      expectSameBits(y, normOfSum);
    }
  });

  it("as LayerNorm, with a bias, a post-norm of its kind and a factor on what is added", () => {
    const bias = new Random(cols).floats(cols);
    const layer: Case = { ...c, norm: "layer", bias, deltaScale: 0.4 };
    const post = normReference(c.delta, c.postWeight, EPSILON, "layer");
    for (const { variant, gap } of variants) {
      const { x, y } = run(variant, layer, gap);
      const size = (i: number) => 4 * Math.abs(c.postWeight[i % cols]!) + Math.abs(x[i]!);
      expectClose(
        x,
        c.x.map((v, i) => v + 0.4 * post[i]!),
        (i) => 1e-6 * size(i) + 1e-30,
      );
      const normed = normReference(x, c.weight, EPSILON, "layer");
      // A row of one element is its own mean: nothing is left of it but the bias.
      expectClose(
        y,
        normed.map((v, i) => v + bias[i % cols]!),
        (i) => 2e-6 * (3 * Math.abs(c.weight[i % cols]!) + Math.abs(normed[i]!) + Math.abs(bias[i % cols]!)),
      );
      const last = (values: Float32Array) => values.slice((rows - 1) * cols);
      if (rows > 0)
        expectSameBits(run({ isa: variant.isa, threads: 1 }, { ...layer, rows: 1, x: last(c.x), delta: last(c.delta) }).y, last(y));
    }
  });

  it("without a weight y is x", () => {
    for (const variant of VARIANTS) {
      const [x, y] = [spread(c.x, cols, 0), emptyMatrix(rows, cols, 0)];
      op("add_norm", variant, { rows, cols, epsilon: EPSILON, x, delta: spread(c.delta, cols, 0), y });
      expectSameBits(gathered(y, cols), gathered(x, cols));
    }
  });

  it.skipIf(rows === 0)("gives a row the same bits alone, in place", () => {
    const last = (values: Float32Array) => values.slice((rows - 1) * cols);
    for (const variant of VARIANTS) {
      const all = run(variant, c);
      const alone = run({ isa: variant.isa, threads: 1 }, { ...c, rows: 1, x: last(c.x), delta: last(c.delta) });
      expectSameBits(alone.x, last(all.x));
      expectSameBits(alone.y, last(all.y));
      const x = last(all.x);
      op("add_norm", variant, { rows: 1, cols, epsilon: EPSILON, x, y: x, weight: c.weight });
      expectSameBits(x, last(all.y));
    }
  });
});

describe("add_norm refuses", () => {
  const args = { x: new Float32Array(4), weight: new Float32Array(4), y: new Float32Array(4), rows: 1, cols: 4, epsilon: 0 };

  it("what is no size", () => {
    for (const sizes of [
      { rows: -1 },
      { cols: 0 },
      { rows: 0.5, cols: 8 },
      { rows: Number.NaN },
      { rows: 2 ** 31 },
      { rows: 2 ** 30, cols: 2 ** 30 },
    ]) {
      expectRefused("add_norm", { ...args, ...sizes });
    }
  });

  it("arrays of other lengths, strides below the columns, norms of another name", () => {
    expectRefused("add_norm", { ...args, delta: new Float32Array(3) }, /delta has 3 elements/);
    expectRefused("add_norm", { ...args, postWeight: new Float32Array(5) }, /postWeight has 5 elements/);
    expectRefused("add_norm", { ...args, y: new Float64Array(4) }, /y is/);
    expectRefused("add_norm", { ...args, y: { data: new Float32Array(3), stride: 3 } }, /stride is 3/);
    expectRefused("add_norm", { ...args, y: { data: new Float32Array(4), stride: 5 } }, /data has 4 elements/);
    expectRefused("add_norm", { ...args, bias: new Float32Array(3) }, /bias has 3 elements/);
    expectRefused("add_norm", { ...args, norm: "batch" }, /norm is batch/);
    expect(() => op("add_norm", VARIANTS[0]!, { ...args, y: undefined, weight: undefined })).not.toThrow();
  });
});
