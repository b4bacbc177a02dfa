import { totalmem } from "node:os";

/** Bytes of memory that this process may have: the machine's, or its container's where that has fewer. */
export function memoryBytes(): number {
  // 0 where it isn't known; without a limit, more than any machine has.
  return Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);
}
