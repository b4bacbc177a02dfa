import { describe, expect, it } from "vitest";
import { emptyMatrix, expectRefused, expectSameBits, GAPS, gathered, op, VARIANTS } from "../support/ops.ts";
import { BLOCKS, dequantize, e4m3, Random, randomWeight, type WeightType } from "../support/reference.ts";

describe.each(Object.keys(BLOCKS) as WeightType[])("embed %s", (type) => {
  const random = new Random(11);
  const rows = 37;
  const cols = BLOCKS[type].elements > 1 ? 512 : 301;
  const table = randomWeight(type, rows, cols, random);
  const values = dequantize(type, table);

  it.each([
    [0, 0],
    [1, 0],
    [40, 0],
    [70, 3],
  ])("%d tokens, exactly dequantized, with %d more of padding", (count, padding) => {
    const tokens = Int32Array.from({ length: count }, (_, t) => (t < rows ? rows - 1 - t : random.int(rows)));
    const scale = 1.5;
    const expected = new Float32Array(count * cols);
    for (let i = 0; i < expected.length; i++) expected[i] = Math.fround(values[tokens[Math.floor(i / cols)]! * cols + (i % cols)]!) * scale;
    const step = { qIndptr: Int32Array.of(0, count), tokens, padding: { tokens: padding } };
    for (const variant of VARIANTS) {
      for (const gap of GAPS) {
        const y = emptyMatrix(count + padding, cols, gap);
        op("embed", variant, { type, table, rows, cols, step, scale, y });
        expectSameBits(
          gathered(y, cols)
            .subarray(0, count * cols)
            .map((v) => v + 0),
          expected.map((v) => v + 0),
        ); // -0 is 0
      }
    }
  });

  it("adds the row of the token's position", () => {
    const [count, start] = [20, 7];
    const positions = { type, table: randomWeight(type, 28, cols, random), rows: 28 };
    const added = dequantize(type, positions.table);
    const tokens = Int32Array.from({ length: count }, () => random.int(rows));
    const step = { qIndptr: Int32Array.of(0, count), starts: Int32Array.of(start), tokens };
    for (const variant of VARIANTS) {
      const [y, plain] = [emptyMatrix(count, cols, 3), emptyMatrix(count, cols, 3)];
      op("embed", variant, { type, table, rows, cols, step, scale: 2, y, positions });
      op("embed", variant, { type, table, rows, cols, step, scale: 2, y: plain });
      const expected = gathered(plain, cols).map((v, i) => v + Math.fround(added[start * cols + i]!));
      expectSameBits(
        gathered(y, cols).map((v) => v + 0),
        expected.map((v) => v + 0),
      );
    }
    const args = { type, table, rows, cols, scale: 1, y: new Float32Array(count * cols), positions };
    expectRefused("embed", { ...args, step: { ...step, starts: Int32Array.of(9) } }, /positions has 28; expected 0 to 27/);
  });

  it("refuses a token that is none, and a table of another size", () => {
    const args = { type, table, rows, cols, scale: 1, y: new Float32Array(cols) };
    for (const token of [-1, rows]) {
      expectRefused("embed", { ...args, step: { qIndptr: Int32Array.of(0, 1), tokens: Int32Array.of(token) } }, /tokens has .*36/);
    }
    const step = { qIndptr: Int32Array.of(0, 1), tokens: Int32Array.of(0) };
    expectRefused("embed", { ...args, step, table: table.subarray(1) }, /table has \d+ elements/);
    expect(() => op("embed", VARIANTS[0]!, { ...args, step })).not.toThrow();
  });
});

it("MXFP4: each of its values at each of its scales", () => {
  const table = new Uint8Array(256 * 17);
  for (let e = 0; e < 256; e++) {
    table[e * 17] = e;
    for (let i = 0; i < 16; i++) table[e * 17 + 1 + i] = i | ((15 - i) << 4);
  }
  const tokens = Int32Array.from({ length: 256 }, (_, e) => e);
  for (const variant of VARIANTS) {
    const y = emptyMatrix(256, 32, 0);
    op("embed", variant, { type: "MXFP4", table, rows: 256, cols: 32, step: { qIndptr: Int32Array.of(0, 256), tokens }, scale: 1, y });
    // -0 is 0, one NaN is another
    expect(Array.from(gathered(y, 32), (v) => v + 0)).toEqual(Array.from(dequantize("MXFP4", table), (v) => Math.fround(v) + 0));
  }
});

it("F8_E4M3: each of its numbers, at scales of all sizes", () => {
  const scales = [1, -0.37, 2 ** -149, 1.1754943508222875e-38, 3e-20, 7.4e35];
  const table = new Uint8Array(scales.length * 4 * 68);
  const view = new DataView(table.buffer);
  for (let block = 0; block < scales.length * 4; block++) {
    view.setFloat32(block * 68, scales[block >> 2]!, true);
    for (let i = 0; i < 64; i++) table[block * 68 + 4 + i] = Number.isNaN(e4m3((block % 4) * 64 + i)) ? 0 : (block % 4) * 64 + i;
  }
  const tokens = Int32Array.from(scales, (_, row) => row);
  for (const variant of VARIANTS) {
    const y = emptyMatrix(scales.length, 256, 0);
    const step = { qIndptr: Int32Array.of(0, scales.length), tokens };
    op("embed", variant, { type: "F8_E4M3", table, rows: scales.length, cols: 256, step, scale: 1, y });
    expect(Array.from(gathered(y, 256), (v) => v + 0)).toEqual(Array.from(dequantize("F8_E4M3", table), (v) => v + 0)); // -0 is 0
  }
});
