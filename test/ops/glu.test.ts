import { describe, expect, it } from "vitest";
import { expectClose, expectSameBits, op, poisoned, VARIANTS } from "../support/ops.ts";
import { Random } from "../support/reference.ts";

const silu = (x: number) => x / (1 + Math.exp(-x));
// (1 + tanh(u)) / 2 as the logistic function of 2u, which doesn't cancel.
const geluTanh = (x: number) => x / (1 + Math.exp(-2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

describe.each([
  ["silu", silu],
  ["gelu_tanh", geluTanh],
] as const)("glu %s", (activation, reference) => {
  it.each([0, 1, 17, 40_003])("%d elements", (count) => {
    const random = new Random(count);
    const gate = random.floats(count, 4);
    const up = random.floats(count);
    const expected = Float64Array.from(gate, (x, i) => reference(x) * up[i]!);
    for (const variant of VARIANTS) {
      const y = poisoned(count);
      op("glu", variant, { gate, up, y, activation });
      // gelu's tail, where 1 + tanh cancels, inherits the rounding of exp's argument: its size times half a unit.
      expectClose(y, expected, (i) => Math.abs(expected[i]!) * 6e-7 * (1 + Math.abs(gate[i]!) ** 3 / 8) + 1e-37);
    }
  });

  it("saturates, and keeps NaN", () => {
    const gate = Float32Array.of(-1e30, Number.NEGATIVE_INFINITY, 1e30, Number.POSITIVE_INFINITY, Number.NaN, -105, 0, -0);
    const up = new Float32Array(gate.length).fill(1);
    for (const variant of VARIANTS) {
      const y = gate.slice();
      op("glu", variant, { gate: y, up, y, activation });
      expect(Array.from(y.subarray(0, 5), (v) => v + 0)).toEqual([0, 0, Math.fround(1e30), Number.POSITIVE_INFINITY, Number.NaN]);
      expect(Math.abs(y[5]!)).toBeLessThan(1e-42);
      expect(y[6]! + y[7]!).toBe(0);
    }
  });

  it("gives an element the same bits at any place", () => {
    const gate = new Random(3).floats(101, 3);
    const up = new Random(4).floats(101);
    for (const variant of VARIANTS) {
      const [all, part] = [poisoned(101), poisoned(94)];
      op("glu", variant, { gate, up, y: all, activation });
      op("glu", variant, { gate: gate.slice(7), up: up.slice(7), y: part, activation });
      expectSameBits(part, all.slice(7));
    }
  });
});

it("the exponential inside is within 2 units in the last place", () => {
  // silu(x) * (-1 / x) = 1 / (1 + e^-x) is e^x to within a unit where e^x is tiny.
  const x = Float32Array.from({ length: 20_000 }, (_, i) => -20 - i * 0.0033);
  const up = Float32Array.from(x, (v) => 1 / v);
  for (const variant of VARIANTS) {
    const y = poisoned(x.length);
    op("glu", variant, { gate: x, up, y, activation: "silu" });
    expectClose(
      y,
      Float64Array.from(x, (v, i) => (v / (1 + Math.exp(-v))) * up[i]!),
      (i) => 4 * 2 ** -24 * Math.exp(x[i]!),
    );
  }
});
