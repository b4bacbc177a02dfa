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
import { BLOCKS, dequantize, Random, randomWeight, roundBf16, type WeightType } from "../support/reference.ts";

type Compute = "f32" | "bf16" | "int8";
interface Case {
  type: WeightType;
  weight: Uint8Array;
  rows: number;
  cols: number;
  x: Float32Array;
  count: number;
  bias?: Float32Array | undefined;
}

function makeCase(type: WeightType, count: number, rows: number, cols: number, seed: number): Case {
  const random = new Random(seed);
  const bias = seed % 2 === 0 ? random.floats(rows) : undefined;
  return { type, weight: randomWeight(type, rows, cols, random), rows, cols, x: random.floats(count * cols), count, bias };
}

/** x as `compute` rounds it: to 8 bits by blocks of 32 with float32 scales, or to bfloat16. */
function roundX(x: Float32Array, type: WeightType, compute: Compute): Float64Array {
  if (compute === "bf16") return Float64Array.from(x, roundBf16);
  if (compute === "f32" || BLOCKS[type].elements === 1) return Float64Array.from(x);
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
function reference(c: Case, compute: Compute) {
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

function run(variant: Variant, compute: Compute, cases: Case[], gap = 0, gate?: string): Float32Array[] {
  const { x, count, cols } = cases[0]!;
  const outputs = cases.map(({ type, weight, rows, bias }, i) => ({
    type,
    weight,
    rows,
    bias,
    y: emptyMatrix(count, rows, (i + 2) * gap),
  }));
  op("matmul", variant, { x: spread(x, cols, gap), rows: count, cols, compute, outputs, gate });
  return outputs.map(({ y, rows }) => gathered(y, rows));
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
  ],
  quantized: [
    [0, 5, 256],
    [1, 1, 256],
    [1, 33, 512],
    [3, 17, 256],
    [9, 16, 768],
    [15, 40, 512],
  ],
};

describe.each(TYPES)("matmul %s", (type) => {
  const cases = SHAPES[BLOCKS[type].elements > 1 ? "quantized" : "dense"].map((shape, i) => makeCase(type, ...shape, i + 1));
  if (BLOCKS[type].elements === 32) cases.push(makeCase(type, 2, 20, 96, 8)); // K is no multiple of a chunk

  it.each(["f32", "bf16", "int8"] as const)("%s is within rounding of float64", (compute) => {
    for (const c of cases) {
      const { y, size } = reference(c, compute);
      // One accumulator over K terms errs by some sqrt(K) units of its magnitude.
      const tolerance = (i: number) => 4e-7 * Math.sqrt(c.cols) * size[i]! + 1e-30;
      for (const variant of VARIANTS) for (const gap of GAPS) expectClose(run(variant, compute, [c], gap)[0]!, y, tolerance);
    }
  });

  it("gives a row the same bits alone, among others and on two threads", () => {
    const c = makeCase(type, 23, 80, 512, 9);
    for (const compute of ["f32", "bf16", "int8"] as const) {
      for (const { isa } of VARIANTS.filter(({ threads }) => threads === 1)) {
        const all = run({ isa, threads: 2 }, compute, [c])[0]!;
        for (const t of [0, 7, 16, 22]) {
          const alone = run({ isa, threads: 1 }, compute, [{ ...c, x: c.x.slice(t * 512, (t + 1) * 512), count: 1 }])[0]!;
          expectSameBits(alone, all.slice(t * 80, (t + 1) * 80));
        }
      }
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
        run(variant, compute, cases, gap).forEach((y, i) => {
          const expected = reference(cases[i]!, compute);
          expectClose(y, expected.y, (j) => 1e-5 * expected.size[j]!);
          expectSameBits(y, run(variant, compute, [cases[i]!])[0]!);
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
          const y = run(variant, compute, [c])[0]!;
          expect(y.subarray(16, 32).some(Number.isFinite)).toBe(false);
          expect(y.subarray(0, 16).every(Number.isFinite) && y.subarray(32).every(Number.isFinite)).toBe(true);
        }
      }
    }
  });

  it("refuses sizes that contradict each other", () => {
    const c = makeCase("Q8_0", 1, 16, 64, 50);
    const args = (change: Partial<Case>, ...more: object[]) => {
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
    expectRefused("matmul", { ...args({}), gate: "silu" }, /gated/);
    const { type, weight, y } = { ...c, y: new Float32Array(8) };
    expectRefused("matmul", { ...args({}, { type, weight: weight.subarray(weight.length / 2), rows: 8, y }), gate: "silu" }, /gated/);
    expectRefused("matmul", { ...args({}), gate: "relu" }, /gate is relu/);
  });
});

const silu = (x: number) => x / (1 + Math.exp(-x));
// (1 + tanh(u)) / 2 as the logistic function of 2u, which doesn't cancel.
const geluTanh = (x: number) => x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** activation(gate[i]) * up[i]: the weights are the values, of a matmul with K = 1 and x = 1. */
function gated(variant: Variant, activation: string, gate: Float32Array, up: Float32Array): Float32Array {
  const cases = [gate, up].map((values): Case => {
    const weight = new Uint8Array(values.slice().buffer);
    return { type: "F32", weight, rows: values.length, cols: 1, x: Float32Array.of(1), count: 1 };
  });
  return run(variant, "f32", cases, 0, activation)[0]!;
}

describe.each([
  ["silu", silu],
  ["gelu_tanh", geluTanh],
] as const)("matmul gated by %s", (activation, activate) => {
  it.each([1, 17, 40_003])("%d elements", (count) => {
    const random = new Random(count);
    const gate = random.floats(count, 4);
    const up = random.floats(count);
    const expected = Float64Array.from(gate, (x, i) => activate(x) * up[i]!);
    for (const variant of VARIANTS) {
      // gelu's tail, where 1 + tanh cancels, inherits the rounding of exp's argument: its size times half a unit.
      const tolerance = (i: number) => Math.abs(expected[i]!) * 6e-7 * (1 + Math.abs(gate[i]!) ** 3 / 8) + 1e-37;
      expectClose(gated(variant, activation, gate, up), expected, tolerance);
    }
  });

  it.each(["F32", "Q8_0", "Q4_K"] as const)("rows of %s: the same bits as the activation of what the matmul gives", (type) => {
    for (const count of [0, 1, 9]) {
      const cases = [2, 4].map((seed) => ({ ...makeCase(type, count, 83, 256, seed), x: makeCase("F32", count, 1, 256, 6).x }));
      for (const variant of VARIANTS) {
        for (const compute of ["f32", "bf16", "int8"] as const) {
          const [gate, up] = run(variant, compute, cases);
          for (const gap of GAPS) {
            const y = run(variant, compute, cases, gap, activation)[0]!;
            if (count > 0) expectSameBits(y, gated({ isa: variant.isa, threads: 1 }, activation, gate!, up!));
          }
        }
      }
    }
  });

  it("saturates, and keeps NaN", () => {
    const gate = Float32Array.of(-1e30, Number.NEGATIVE_INFINITY, 1e30, Number.POSITIVE_INFINITY, Number.NaN, -105, 0, -0);
    const up = new Float32Array(gate.length).fill(1);
    for (const variant of VARIANTS) {
      const y = gated(variant, activation, gate, up);
      expect(Array.from(y.subarray(0, 5), (v) => v + 0)).toEqual([0, 0, Math.fround(1e30), Number.POSITIVE_INFINITY, Number.NaN]);
      expect(Math.abs(y[5]!)).toBeLessThan(1e-42);
      expect(y[6]! + y[7]!).toBe(0);
    }
  });

  it("gives an element the same bits at any place", () => {
    const gate = new Random(3).floats(101, 3);
    const up = new Random(4).floats(101);
    for (const variant of VARIANTS) {
      const all = gated(variant, activation, gate, up);
      expectSameBits(gated(variant, activation, gate.slice(7), up.slice(7)), all.slice(7));
    }
  });
});

it("the exponential inside silu is within 2 units in the last place", () => {
  // silu(x) * (-1 / x) = 1 / (1 + e^-x) is e^x to within a unit where e^x is tiny.
  const x = Float32Array.from({ length: 20_000 }, (_, i) => -20 - i * 0.0033);
  const up = Float32Array.from(x, (v) => 1 / v);
  for (const variant of VARIANTS) {
    expectClose(
      gated(variant, "silu", x, up),
      Float64Array.from(x, (v, i) => (v / (1 + Math.exp(-v))) * up[i]!),
      (i) => 4 * 2 ** -24 * Math.exp(x[i]!),
    );
  }
});
