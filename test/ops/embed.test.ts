import { describe, expect, it } from "vitest";
import { expectGuarded, expectSameBits, op, poisoned, VARIANTS } from "../support/ops.ts";
import { BLOCKS, dequantize, Random, randomWeight, type WeightType } from "../support/reference.ts";

describe.each(Object.keys(BLOCKS) as WeightType[])("embed %s", (type) => {
  const random = new Random(11);
  const rows = 37;
  const cols = BLOCKS[type].elements > 1 ? 512 : 301;
  const table = randomWeight(type, rows, cols, random);
  const values = dequantize(type, table);

  it.each([0, 1, 40])("%d tokens, exactly dequantized", (count) => {
    const tokens = Int32Array.from({ length: count }, (_, t) => (t < rows ? rows - 1 - t : random.int(rows)));
    const scale = 1.5;
    const expected = new Float32Array(count * cols);
    for (let i = 0; i < expected.length; i++) expected[i] = Math.fround(values[tokens[Math.floor(i / cols)]! * cols + (i % cols)]!) * scale;
    for (const variant of VARIANTS) {
      const y = poisoned(count * cols);
      op("embed", variant, { type, table, rows, cols, tokens, count, scale, y });
      expectSameBits(
        Float32Array.from(y, (v) => v + 0),
        Float32Array.from(expected, (v) => v + 0),
      ); // -0 is 0
      expectGuarded(y);
    }
  });

  it("refuses a token that is none", () => {
    const args = { type, table, rows, cols, count: 1, scale: 1, y: new Float32Array(cols) };
    for (const token of [-1, rows]) {
      expect(() => op("embed", VARIANTS[0]!, { ...args, tokens: Int32Array.of(token) })).toThrow(
        new RegExp(`tokens has ${token}; 0 to 36 are right`),
      );
    }
  });
});
