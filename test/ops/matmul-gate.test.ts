import { describe, expect, it } from "vitest";
import { type MatmulCase, makeCase, runMatmul } from "../support/matmul.ts";
import { expectClose, expectSameBits, GAPS, VARIANTS, type Variant } from "../support/ops.ts";
import { Random } from "../support/reference.ts";

/** erfc by its series near 0, by its continued fraction (Lentz) beyond: within some 1e-15 of itself. */
function erfc(z: number): number {
  if (z < 0) return 2 - erfc(-z);
  if (z > 2.5) {
    let fraction = z;
    for (let k = 60; k > 0; k--) fraction = z + k / 2 / fraction;
    return Math.exp(-z * z) / (Math.sqrt(Math.PI) * fraction);
  }
  let [term, sum] = [z, z];
  for (let n = 1; n < 80; n++) {
    term *= (-z * z) / n;
    sum += term / (2 * n + 1);
  }
  return 1 - (2 / Math.sqrt(Math.PI)) * sum;
}

const gelu = (x: number) => (x / 2) * erfc(-x / Math.SQRT2);
const silu = (x: number) => x / (1 + Math.exp(-x));
// (1 + tanh(u)) / 2 as the logistic function of 2u, which doesn't cancel.
const geluTanh = (x: number) => x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** activation(gate[i]) * up[i], or without up activation(gate[i]): the weights are the values, of a matmul with K = 1 and x = 1. */
function activated(variant: Variant, activation: string, gate: Float32Array, up?: Float32Array): Float32Array {
  const cases = (up === undefined ? [gate] : [gate, up]).map((values): MatmulCase => {
    const weight = new Uint8Array(values.slice().buffer);
    return { type: "F32", weight, rows: values.length, cols: 1, x: Float32Array.of(1), count: 1 };
  });
  return runMatmul(variant, "f32", cases, 0, { epilogue: up === undefined ? "activate" : "gate", activation })[0]!;
}

describe.each([
  ["silu", silu],
  ["gelu_tanh", geluTanh],
  ["gelu", gelu],
] as const)("matmul gated by %s", (activation, activate) => {
  it.each([1, 17, 40_003])("%d elements", (count) => {
    const random = new Random(count);
    const gate = random.floats(count, 4);
    const up = random.floats(count);
    const expected = Float64Array.from(gate, (x, i) => activate(x) * up[i]!);
    for (const variant of VARIANTS) {
      // gelu's tail, where 1 + tanh cancels, inherits the rounding of exp's argument: its size times half a unit.
      const tolerance = (i: number) => Math.abs(expected[i]!) * 6e-7 * (1 + Math.abs(gate[i]!) ** 3 / 8) + 1e-37;
      expectClose(activated(variant, activation, gate, up), expected, tolerance);
      // Alone, the activation is that of a gate whose other side is 1.
      expectSameBits(activated(variant, activation, gate), activated(variant, activation, gate, new Float32Array(count).fill(1)));
    }
  });

  it.each(["F32", "Q8_0", "Q4_K"] as const)("rows of %s: the same bits as the activation of what the matmul gives", (type) => {
    for (const count of [0, 1, 9]) {
      const cases = [2, 4].map((seed) => ({ ...makeCase(type, count, 83, 256, seed), x: makeCase("F32", count, 1, 256, 6).x }));
      for (const variant of VARIANTS) {
        for (const compute of ["f32", "bf16", "int8"] as const) {
          const [gate, up] = runMatmul(variant, compute, cases);
          for (const gap of GAPS) {
            const y = runMatmul(variant, compute, cases, gap, { epilogue: "gate", activation })[0]!;
            if (count > 0) expectSameBits(y, activated({ isa: variant.isa, threads: 1 }, activation, gate!, up!));
          }
        }
      }
    }
  });

  it("saturates, and keeps NaN", () => {
    const gate = Float32Array.of(-1e30, Number.NEGATIVE_INFINITY, 1e30, Number.POSITIVE_INFINITY, Number.NaN, -105, 0, -0);
    const up = new Float32Array(gate.length).fill(1);
    for (const variant of VARIANTS) {
      const y = activated(variant, activation, gate, up);
      expect(Array.from(y.subarray(0, 5), (v) => v + 0)).toEqual([0, 0, Math.fround(1e30), Number.POSITIVE_INFINITY, Number.NaN]);
      expect(Math.abs(y[5]!)).toBeLessThan(1e-42);
      expect(y[6]! + y[7]!).toBe(0);
    }
  });

  it("gives an element the same bits at any place", () => {
    const gate = new Random(3).floats(101, 3);
    const up = new Random(4).floats(101);
    for (const variant of VARIANTS) {
      const all = activated(variant, activation, gate, up);
      expectSameBits(activated(variant, activation, gate.slice(7), up.slice(7)), all.slice(7));
    }
  });
});

it("the exponential inside silu is within 2 units in the last place", () => {
  // silu(x) * (-1 / x) = 1 / (1 + e^-x) is e^x to within a unit where e^x is tiny.
  const x = Float32Array.from({ length: 20_000 }, (_, i) => -20 - i * 0.0033);
  const up = Float32Array.from(x, (v) => 1 / v);
  for (const variant of VARIANTS) {
    expectClose(
      activated(variant, "silu", x, up),
      Float64Array.from(x, (v, i) => (v / (1 + Math.exp(-v))) * up[i]!),
      (i) => 4 * 2 ** -24 * Math.exp(x[i]!),
    );
  }
});
