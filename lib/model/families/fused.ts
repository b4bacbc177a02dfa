import { fused, type Names } from "../layouts.ts";
import type { DenseSizes } from "../sizes.ts";

/** Names of q, k and v that lie in one matrix, and of gate and up in another. */
export function fusedNames(sizes: DenseSizes, qkv: string, gateUp?: string): Names {
  const { hiddenSize, queryHeads, kvHeads, headSize } = sizes;
  const attention = fused(qkv, hiddenSize, { q: queryHeads * headSize, k: kvHeads * headSize, v: kvHeads * headSize });
  return gateUp === undefined ? attention : { ...attention, ...fusedGate(sizes, gateUp) };
}

/** Names of gate and up that lie in one matrix. */
export function fusedGate({ hiddenSize, feedForwardSize }: DenseSizes, source: string): Names {
  return fused(source, hiddenSize, { gate: feedForwardSize, up: feedForwardSize });
}
