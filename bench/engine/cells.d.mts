/** What a cell of the table of speeds measures. */
export interface Cell {
  name: string;
  model: string;
  type: string;
  kind: "decode" | "prefill";
  batch?: number;
  context?: number;
  prompt?: number;
}

/** All that are measured. */
export const CELLS: readonly Cell[];

/** Of one decode step, or one prompt: its tokens, the bytes that it reads at least, and operations. */
export function costOf(cell: Cell): { tokens: number; bytes: number; operations: { matmuls: number; attention: number } };

/** What a cell's tokens per second mean, and the share of the ceiling that they are. */
export function boundOf(
  cell: Cell,
  tokensPerSecond: number,
  ceilings: Record<string, number>,
): { GBs?: number; Gops?: number; ofCeiling: number };
