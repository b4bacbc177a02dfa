import { describe, expect, it } from "vitest";
import { emptyMatrix, expectRefused, expectSameBits, GAPS, gathered, op, spreadPadded, VARIANTS } from "../support/ops.ts";
import { cumulate } from "../support/paged.ts";
import { Random } from "../support/reference.ts";

/** Rows of a step: their tokens, of which the last `outputs` give outputs. */
const ROWS: Record<string, { count: number; outputs: number }[]> = {
  "no outputs": [{ count: 3, outputs: 0 }],
  "one row": [{ count: 1, outputs: 1 }],
  "several outputs of some rows": [
    { count: 5, outputs: 1 },
    { count: 4, outputs: 4 },
    { count: 0, outputs: 0 },
    { count: 7, outputs: 0 },
    { count: 9, outputs: 3 },
  ],
  "enough for all threads": [
    { count: 80, outputs: 75 },
    { count: 1, outputs: 1 },
  ],
};

describe.each(Object.keys(ROWS))("gather_rows, %s", (name) => {
  const rows = ROWS[name]!;
  const qIndptr = cumulate(rows.map(({ count }) => count));
  const outIndptr = cumulate(rows.map(({ outputs }) => outputs));
  const wanted = rows.flatMap(({ outputs }, b) => Array.from({ length: outputs }, (_, i) => qIndptr[b + 1]! - outputs + i));
  const tokens = qIndptr[rows.length]!;

  it.each([1, 17, 577])("%d columns: the rows in order, all and in pieces, padded or not", (cols) => {
    const x = new Random(cols).floats(tokens * cols);
    const expected = Float32Array.from(wanted.flatMap((t) => [...x.subarray(t * cols, (t + 1) * cols)]));
    for (const variant of VARIANTS) {
      for (const gap of GAPS) {
        for (const [first, count, padding] of [
          [0, wanted.length, 0],
          [wanted.length >> 1, (wanted.length + 1) >> 1, 0],
          [0, wanted.length, 4],
        ] as const) {
          const step = { qIndptr, outIndptr, padding: { rows: padding, tokens: padding, outputs: padding } };
          const y = emptyMatrix(count + padding, cols, gap);
          op("gather_rows", variant, { step, cols, first, count: count + padding, x: spreadPadded(x, cols, 2 * gap, padding), y });
          expectSameBits(
            gathered(y, cols).slice(0, count * cols),
            expected.slice(Math.min(first, wanted.length) * cols, (first + count) * cols),
          );
        }
      }
    }
  });
});

it("gather_rows refuses outputs that the step does not have", () => {
  const step = { qIndptr: Int32Array.of(0, 2), outIndptr: Int32Array.of(0, 2) };
  const args = { step, cols: 3, first: 1, count: 1, x: new Float32Array(6), y: new Float32Array(3) };
  expectRefused("gather_rows", { ...args, count: 2, y: new Float32Array(6) }, /count is 2/);
  expectRefused("gather_rows", { ...args, first: 3 }, /first is 3/);
  expectRefused("gather_rows", { ...args, step: { ...step, outIndptr: Int32Array.of(0, 3) } }, /3 outputs/);
  expectRefused("gather_rows", { ...args, step: { qIndptr: Int32Array.of(0, 0), padding: { outputs: 2 } }, x: new Float32Array(0) });
  expect(() => op("gather_rows", VARIANTS[0]!, args)).not.toThrow();
});
