import { KvasirError } from "../errors.ts";

/** A tensor as its file declares it, checked against the file's length. Its type may be one that kvasir does not compute with. */
export interface StoredTensor {
  name: string;
  /** The format's own name of the element type: "BF16", "Q4_K", "IQ4_NL", "I64". */
  type: string;
  /** Outermost first, contiguous last: [rows, columns] of a matrix. */
  shape: number[];
  /** Byte offset of the first element in the file. */
  offset: number;
  /** Bytes of data. */
  bytes: number;
}

/** Refuses tensors that share bytes. */
export function refuseOverlaps(path: string, tensors: readonly StoredTensor[]): void {
  const sorted = tensors.toSorted((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  for (const [index, tensor] of sorted.entries()) {
    const next = sorted[index + 1];
    if (next !== undefined && tensor.offset + tensor.bytes > next.offset)
      throw new KvasirError("FILE_INVALID", `${path}: tensors ${tensor.name} and ${next.name} overlap at byte ${next.offset}`);
  }
}
