import { describe, expect, it } from "vitest";
import { hasLevels } from "../../lib/model/spec.ts";
import type { Compute } from "../../lib/native/addon.ts";
import { type MatmulCase, makeCase, runMatmul } from "../support/matmul.ts";
import { expectClose, expectRefused, expectSameBits, GAPS, op, VARIANTS } from "../support/ops.ts";
import { BLOCKS, dequantize, roundBf16, type WeightType } from "../support/reference.ts";

/** x as `compute` rounds it: to 8 bits by blocks of 32 with float32 scales, or to bfloat16. */
function roundX(x: Float32Array, type: WeightType, compute: Compute): Float64Array {
  if (compute === "bf16") return Float64Array.from(x, roundBf16);
  if (compute === "f32" || !hasLevels(type)) return Float64Array.from(x);
  const rounded = new Float64Array(x.length);
  for (let from = 0; from < x.length; from += 32) {
    const largest = Math.max(...x.subarray(from, from + 32).map(Math.abs));
    const inverse = largest > 0 ? Math.fround(127 / largest) : 0;
    for (let i = from; i < from + 32; i++) {
      const scaled = Math.fround(x[i]! * inverse);
      const down = Math.floor(scaled);
      const rest = scaled - down;
      rounded[i] = Math.fround(largest / 127) * (rest > 0.5 || (rest === 0.5 && down % 2 !== 0) ? down + 1 : down);
    }
  }
  return rounded;
}

/** y and, for each, the sum of the magnitudes of its terms. */
function reference(c: MatmulCase, compute: Compute) {
  const weights = dequantize(c.type, c.weight);
  const x = roundX(c.x, c.type, compute);
  const y = new Float64Array(c.count * c.rows);
  const size = new Float64Array(y.length);
  for (let t = 0; t < c.count; t++) {
    for (let n = 0; n < c.rows; n++) {
      let sum = c.bias?.[n] ?? 0;
      let magnitude = Math.abs(sum);
      for (let k = 0; k < c.cols; k++) {
        const term = x[t * c.cols + k]! * weights[n * c.cols + k]!;
        sum += term;
        magnitude += Math.abs(term);
      }
      y[t * c.rows + n] = sum;
      size[t * c.rows + n] = magnitude;
    }
  }
  return { y, size };
}

const TYPES = Object.keys(BLOCKS) as WeightType[];
const SHAPES: Record<"dense" | "quantized", [count: number, rows: number, cols: number][]> = {
  dense: [
    [0, 5, 8],
    [1, 1, 1],
    [1, 17, 7],
    [3, 33, 257],
    [9, 16, 100],
    [15, 40, 300],
    [17, 40, 100], // a tile of AMX and a row
    [31, 33, 64],
    [50, 40, 1100], // more rows than two tiles of AMX, more k than a chunk
  ],
  quantized: [
    [0, 5, 256],
    [1, 1, 256],
    [1, 33, 512],
    [3, 17, 256],
    [9, 16, 768],
    [15, 40, 512],
    [40, 40, 1280],
  ],
};

describe.each(TYPES)("matmul %s", (type) => {
  const cases = SHAPES[BLOCKS[type].elements > 1 ? "quantized" : "dense"].map((shape, i) => makeCase(type, ...shape, i + 1));
  const { elements } = BLOCKS[type];
  if (elements === 32 || elements === 64) cases.push(makeCase(type, 2, 20, 3 * elements, 8)); // K is no multiple of a chunk

  it.each(["f32", "bf16", "int8"] as const)("%s is within rounding of float64", (compute) => {
    for (const c of cases) {
      const { y, size } = reference(c, compute);
      // One accumulator over K terms errs by some sqrt(K) units of its magnitude.
      const tolerance = (i: number) => 4e-7 * Math.sqrt(c.cols) * size[i]! + 1e-30;
      for (const variant of VARIANTS) for (const gap of GAPS) expectClose(runMatmul(variant, compute, [c], gap)[0]!, y, tolerance);
    }
  });

  it("gives a row the same bits alone, among others and on two threads", () => {
    const c = makeCase(type, 23, 80, 512, 9);
    for (const compute of ["f32", "bf16", "int8"] as const) {
      for (const { isa } of VARIANTS.filter(({ threads }) => threads === 1)) {
        const all = runMatmul({ isa, threads: 2 }, compute, [c])[0]!;
        for (const t of [0, 7, 16, 22]) {
          const alone = runMatmul({ isa, threads: 1 }, compute, [{ ...c, x: c.x.slice(t * 512, (t + 1) * 512), count: 1 }])[0]!;
          expectSameBits(alone, all.slice(t * 80, (t + 1) * 80));
        }
      }
    }
  });
});

const ISAS = new Set(VARIANTS.map(({ isa }) => isa));

describe.skipIf(!ISAS.has("amx")).each(TYPES)("AMX, %s", (type) => {
  it("has the bits of AVX-512, but where bfloat16 numbers are multiplied", () => {
    const c = makeCase(type, 45, 40, 1280, 11);
    for (const compute of ["f32", "int8", ...(type === "BF16" ? [] : (["bf16"] as const))] as const) {
      expectSameBits(runMatmul({ isa: "amx", threads: 1 }, compute, [c])[0]!, runMatmul({ isa: "avx512", threads: 1 }, compute, [c])[0]!);
    }
  });
});

describe("matmul", () => {
  it.each(["f32", "bf16", "int8"] as const)("runs three matrices of different types and sizes over one x, %s", (compute) => {
    const cases = (["Q4_K", "Q6_K", "F16"] as const).map((type, i) => ({
      ...makeCase(type, 5, [100, 20, 7][i]!, 256, 20 + i),
      x: makeCase("F32", 5, 1, 256, 30).x,
    }));
    for (const variant of VARIANTS) {
      for (const gap of GAPS) {
        runMatmul(variant, compute, cases, gap).forEach((y, i) => {
          const expected = reference(cases[i]!, compute);
          expectClose(y, expected.y, (j) => 1e-5 * expected.size[j]!);
          expectSameBits(y, runMatmul(variant, compute, [cases[i]!])[0]!);
        });
      }
    }
  });

  it("carries NaN and infinity of x to its row, and no further", () => {
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY]) {
      const c = makeCase("Q4_0", 3, 16, 64, 40);
      c.x[64 + 5] = bad;
      for (const variant of VARIANTS) {
        for (const compute of ["f32", "int8"] as const) {
          const y = runMatmul(variant, compute, [c])[0]!;
          expect(y.subarray(16, 32).some(Number.isFinite)).toBe(false);
          expect(y.subarray(0, 16).every(Number.isFinite) && y.subarray(32).every(Number.isFinite)).toBe(true);
        }
      }
    }
  });

  it("refuses sizes that contradict each other", () => {
    const c = makeCase("Q8_0", 1, 16, 64, 50);
    const args = (change: Partial<MatmulCase>, ...more: object[]) => {
      const { type, weight, rows, cols, x, count, bias } = { ...c, ...change };
      const y = new Float32Array(count * rows);
      return { x, rows: count, cols, compute: "f32", outputs: [{ type, weight, rows, bias, y }, ...more] };
    };
    expect(() => op("matmul", VARIANTS[0]!, args({}))).not.toThrow();
    expectRefused("matmul", args({ cols: 48 }));
    expectRefused("matmul", args({ cols: 48, x: new Float32Array(48) }), /cols is 48/);
    expectRefused("matmul", args({ weight: c.weight.subarray(1) }), /weight has \d+ elements/);
    expectRefused("matmul", args({ bias: new Float32Array(15) }), /bias has 15 elements/);
    expectRefused("matmul", args({ rows: 2 ** 30, bias: undefined, weight: new Uint8Array(0) }));
    expectRefused("matmul", { ...args({}), epilogue: "gate", activation: "silu" }, /gated/);
    const { type, weight, y } = { ...c, y: new Float32Array(8) };
    expectRefused(
      "matmul",
      { ...args({}, { type, weight: weight.subarray(weight.length / 2), rows: 8, y }), epilogue: "gate", activation: "silu" },
      /gated/,
    );
    expectRefused("matmul", { ...args({}), epilogue: "activate", activation: "relu" }, /activation is relu/);
    expectRefused("matmul", { ...args({}), epilogue: "relu", activation: "silu" }, /epilogue is relu/);
  });
});
