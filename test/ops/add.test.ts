import { expect, it } from "vitest";
import { expectGuarded, expectSameBits, op, poisoned, VARIANTS } from "../support/ops.ts";
import { Random } from "../support/reference.ts";

it.each([0, 1, 15, 16, 33, 70_001])("add: %d elements", (count) => {
  const random = new Random(count);
  const x = random.floats(count);
  const y = random.floats(count);
  const expected = Float32Array.from(x, (v, i) => v + y[i]!);
  for (const variant of VARIANTS) {
    const sum = poisoned(count);
    sum.set(x);
    op("add", variant, { x: sum, y });
    expectSameBits(sum, expected);
    expectGuarded(sum);
  }
});

it("add refuses arrays of different lengths", () => {
  expect(() => op("add", VARIANTS[0]!, { x: new Float32Array(3), y: new Float32Array(4) })).toThrow(/y has 4 elements; 3 are right/);
});
