import { readFileSync } from "node:fs";
import { sharedPath } from "../../support/shared.ts";

/** Reference outputs of other implementations, and how ours are compared with them. */

/** A tensor of a reference file: row-major, integers of 64 bits as numbers. */
export interface Reference {
  shape: number[];
  data: Float32Array | Int32Array;
}

/** The tensors of a safetensors file that is known to be good. */
export function readReferences(...path: string[]): Record<string, Reference> {
  const bytes = readFileSync(sharedPath(...path));
  const begin = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString("utf8", 8, begin)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return Object.fromEntries(
    Object.entries(header).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => {
        const data = new Uint8Array(bytes.subarray(begin + from, begin + to)).buffer;
        if (dtype === "I64") return [name, { shape, data: Int32Array.from(new BigInt64Array(data), Number) }];
        return [name, { shape, data: dtype === "F32" ? new Float32Array(data) : new Int32Array(data) }];
      },
    ),
  );
}

/** Rows of a matrix [rows, columns], or of a stack of them. */
export function rowsOf({ shape, data }: Reference, columns: number = shape.at(-1)!): (Float32Array | Int32Array)[] {
  return Array.from({ length: data.length / columns }, (_, i) => data.subarray(i * columns, (i + 1) * columns));
}

/** The largest error, in units of max(1, standard deviation of the reference). */
export function relativeError(actual: ArrayLike<number>, reference: ArrayLike<number>): number {
  if (actual.length !== reference.length) throw new Error(`${actual.length} values and ${reference.length} in the reference`);
  let [sum, squares, worst] = [0, 0, 0];
  for (let i = 0; i < reference.length; i++) {
    sum += reference[i]!;
    squares += reference[i]! ** 2;
    const error = Math.abs(actual[i]! - reference[i]!);
    if (!(error <= worst)) worst = Number.isNaN(error) ? Number.POSITIVE_INFINITY : error;
  }
  const mean = sum / reference.length;
  return worst / Math.max(1, Math.sqrt(Math.max(squares / reference.length - mean ** 2, 0)));
}

/** The bound of the exact path: exactly dequantized weights, no rounding of activations. */
export const LOGIT_BOUND = 2e-4;

/** The place of the largest value. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i;
  return best;
}

/** How many tokens come before the first whose margin does not exceed `least`: these must be equal. */
export function decidedTokens(margins: ArrayLike<number>, least: number): number {
  const first = Array.from(margins).findIndex((margin) => !(margin > least));
  return first < 0 ? margins.length : first;
}
