import { expect } from "vitest";
import { type Isa, native } from "../../lib/native/addon.ts";

/** Instruction sets of this machine, with one and with two threads. */
export const VARIANTS: { isa: Isa; threads: number }[] = native()
  .isas()
  .flatMap((isa) => [1, 2].map((threads) => ({ isa, threads })));

/** Runs an op once. */
export function op(name: string, variant: { isa: Isa; threads: number }, args: Record<string, unknown>): void {
  native().op(name, variant, args);
}

const GUARD = 32;

/** An output of `count` NaNs with guard elements before and behind it. */
export function poisoned(count: number): Float32Array {
  return new Float32Array(count + 2 * GUARD).fill(Number.NaN).subarray(GUARD, GUARD + count);
}

/** Whether nothing was written beside a `poisoned` array. */
export function expectGuarded(y: Float32Array): void {
  const whole = new Float32Array(y.buffer);
  expect(whole.subarray(0, GUARD).every(Number.isNaN) && whole.subarray(GUARD + y.length).every(Number.isNaN)).toBe(true);
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
  const bits = (x: Float32Array) => new Uint32Array(x.buffer, x.byteOffset, x.length);
  expect(Buffer.from(bits(a).slice().buffer).equals(Buffer.from(bits(b).slice().buffer))).toBe(true);
}
