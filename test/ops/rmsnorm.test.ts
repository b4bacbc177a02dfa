import { expect, it } from "vitest";
import { expectClose, expectSameBits, op, poisoned, VARIANTS } from "../support/ops.ts";
import { Random } from "../support/reference.ts";

it.each([
  [0, 8],
  [1, 1],
  [3, 10],
  [5, 64],
  [2, 577],
  [200, 384],
])("rmsnorm [%d, %d]", (rows, cols) => {
  const random = new Random(rows * 1000 + cols);
  const x = random.floats(rows * cols, 3);
  const weight = random.floats(cols);
  const expected = new Float64Array(rows * cols);
  for (let r = 0; r < rows; r++) {
    const row = x.subarray(r * cols, (r + 1) * cols);
    const mean = row.reduce((sum, v) => sum + v * v, 0) / cols;
    row.forEach((v, i) => {
      expected[r * cols + i] = (v / Math.sqrt(mean + 1e-5)) * weight[i]!;
    });
  }
  for (const variant of VARIANTS) {
    const y = poisoned(rows * cols);
    op("rmsnorm", variant, { x, weight, y, rows, cols, epsilon: 1e-5 });
    expectClose(y, expected, (i) => 1e-6 * Math.abs(expected[i]!) + 1e-30);
    if (rows === 0) continue;
    const alone = x.slice((rows - 1) * cols);
    op("rmsnorm", { ...variant, threads: 1 }, { x: alone, weight, y: alone, rows: 1, cols, epsilon: 1e-5 });
    expectSameBits(alone, y.slice((rows - 1) * cols)); // in place and alone
  }
});

it("rmsnorm refuses what is no size", () => {
  const args = { x: new Float32Array(4), weight: new Float32Array(4), y: new Float32Array(4), epsilon: 0 };
  for (const sizes of [
    { rows: -1, cols: 4 },
    { rows: 1, cols: 0 },
    { rows: 0.5, cols: 8 },
    { rows: Number.NaN, cols: 4 },
    { rows: 2 ** 31, cols: 4 },
  ]) {
    expect(() => op("rmsnorm", VARIANTS[0]!, { ...args, ...sizes })).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  }
});
