/** Cases of the op `matmul`. */
import type { Compute } from "../../lib/native/addon.ts";
import { emptyMatrix, gathered, op, spread, type Variant } from "./ops.ts";
import { Random, randomWeight, type WeightType } from "./reference.ts";

/** x [count, cols] times a matrix [rows, cols]. */
export interface MatmulCase {
  type: WeightType;
  weight: Uint8Array;
  rows: number;
  cols: number;
  x: Float32Array;
  count: number;
  bias?: Float32Array | undefined;
}

/** Random values; a bias where the seed is even. */
export function makeCase(type: WeightType, count: number, rows: number, cols: number, seed: number): MatmulCase {
  const random = new Random(seed);
  const bias = seed % 2 === 0 ? random.floats(rows) : undefined;
  return { type, weight: randomWeight(type, rows, cols, random), rows, cols, x: random.floats(count * cols), count, bias };
}

/** What a matmul does to its results: nothing, or an activation of the first, times the second if it is a gate. */
export type Epilogue = { epilogue: "gate" | "activate"; activation: string } | undefined;

/** The results of matrices over the first case's x, with an epilogue if so asked; rows of x, and of each result, lie apart by multiples of `gap`. */
export function runMatmul(variant: Variant, compute: Compute, cases: MatmulCase[], gap = 0, end?: Epilogue): Float32Array[] {
  const { x, count, cols } = cases[0]!;
  const outputs = cases.map(({ type, weight, rows, bias }, i) => ({
    type,
    weight,
    rows,
    bias,
    y: emptyMatrix(count, rows, (i + 2) * gap),
  }));
  op("matmul", variant, { x: spread(x, cols, gap), rows: count, cols, compute, outputs, ...end });
  return outputs.map(({ y, rows }) => gathered(y, rows));
}
