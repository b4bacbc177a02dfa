import { expect } from "vitest";
import type { Isa } from "../../lib/native/addon.ts";
import { type OpName, type OpOptions, testAddon } from "./addon.ts";

/** An instruction set and a number of threads. */
export interface Variant {
  isa: Isa;
  threads: number;
}

/** Instruction sets of this machine, with one and with two threads; those of avx512_bf16 are avx512's but for products of two. */
export const VARIANTS: Variant[] = testAddon
  .isas()
  .flatMap((isa) => (isa === "avx512_bf16" ? [2] : [1, 2]).map((threads) => ({ isa, threads })));

/** Runs an op once. */
export function op(name: OpName, options: OpOptions, args: Record<string, unknown>): void {
  testAddon.op(name, options, args);
}

/** Whether an op refuses its arguments, with a message that matches. */
export function expectRefused(name: OpName, args: Record<string, unknown>, message: RegExp = /./): void {
  let error: unknown;
  try {
    op(name, VARIANTS[0]!, args);
  } catch (caught) {
    error = caught;
  }
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT", message: expect.stringMatching(message) });
}

const GUARD = 32;

/** An output of `count` NaNs with guard elements before and behind it. */
export function poisoned(count: number): Float32Array {
  return new Float32Array(count + 2 * GUARD).fill(Number.NaN).subarray(GUARD, GUARD + count);
}

/** A copy with such guards. */
export function guarded(values: Float32Array): Float32Array {
  const copy = poisoned(values.length);
  copy.set(values);
  return copy;
}

/** Whether nothing was written beside a `poisoned` array. */
export function expectGuarded(y: Float32Array): void {
  const whole = new Float32Array(y.buffer);
  expect(whole.subarray(0, GUARD).every(Number.isNaN) && whole.subarray(GUARD + y.length).every(Number.isNaN)).toBe(true);
}

/** Elements between the rows of the matrices that tests pass: rows side by side, and rows apart. */
export const GAPS = [0, 5];

/** A matrix as ops take it: `stride` elements from a row to the next. */
export interface Matrix {
  data: Float32Array;
  stride: number;
}

/** Rows of `cols` values, `gap` elements apart, with NaN between and around them. */
export function spread(values: Float32Array, cols: number, gap: number): Matrix {
  const matrix = emptyMatrix(values.length / cols, cols, gap);
  for (let r = 0; r * cols < values.length; r++) matrix.data.set(values.subarray(r * cols, (r + 1) * cols), r * matrix.stride);
  return matrix;
}

/** The same, with `padding` rows of zeros behind. */
export function spreadPadded(values: Float32Array, cols: number, gap: number, padding: number): Matrix {
  return spread(Float32Array.from([...values, ...new Float32Array(padding * cols)]), cols, gap);
}

/** The same as `spread`, of NaNs. */
export function emptyMatrix(rows: number, cols: number, gap: number): Matrix {
  return { data: poisoned(rows * (cols + gap)), stride: cols + gap };
}

/** The rows of such a matrix side by side, guarded; fails where something was written between or around them. */
export function gathered({ data, stride }: Matrix, cols: number): Float32Array {
  const rows = data.length / stride;
  const values = poisoned(rows * cols);
  for (let r = 0; r < rows; r++) {
    values.set(data.subarray(r * stride, r * stride + cols), r * cols);
    expect(data.subarray(r * stride + cols, (r + 1) * stride).every(Number.isNaN)).toBe(true);
  }
  expectGuarded(data);
  return values;
}

/** Each y[i] within tolerance(i) of the reference; says where it is worst. */
export function expectClose(y: Float32Array, reference: ArrayLike<number>, tolerance: (i: number) => number): void {
  expect(y.length).toBe(reference.length);
  let worst = 0;
  let place = -1;
  for (let i = 0; i < y.length; i++) {
    const ratio = Math.abs(y[i]! - reference[i]!) / tolerance(i);
    if (!(ratio <= worst)) [worst, place] = [Number.isNaN(ratio) ? Number.POSITIVE_INFINITY : ratio, i];
  }
  if (worst > 1) expect.fail(`element ${place} is ${y[place]} and not ${reference[place]}: ${worst.toFixed(2)} times the tolerance`);
  expectGuarded(y);
}

/** The same bits. */
export function expectSameBits(a: Float32Array, b: Float32Array): void {
  expect(a.length).toBe(b.length);
  const bits = (x: Float32Array) => new Uint32Array(x.buffer, x.byteOffset, x.length);
  const [own, other] = [bits(a), bits(b)];
  const place = own.findIndex((word, i) => word !== other[i]);
  if (place < 0) return;
  const hex = (word: number | undefined) => `0x${word?.toString(16)}`;
  expect.fail(`element ${place} of ${a.length} is ${a[place]} (${hex(own[place])}) and not ${b[place]} (${hex(other[place])})`);
}
