import type { Sequence } from "./sequence.ts";

/** What a row gives back: nothing (more of its prompt follows), a sampled token, logits for a processor, or the log-probabilities of its own tokens. */
export type RowOutput = "none" | "sample" | "logits" | "score";

/** One sequence's part of a step: its tokens [start, start + count) run through the model. */
export interface PlanRow {
  sequence: Sequence;
  /** Position of the first token, which is also the number of tokens computed before this step. */
  start: number;
  /** Tokens of this row, at least 1. */
  count: number;
  output: RowOutput;
}

/** One step: who runs how many tokens. Plans are reused, so that a step allocates nothing that grows with the batch. */
export interface Plan {
  /** Rows in use are [0, rowCount); the rest of the array is spare. */
  rows: PlanRow[];
  rowCount: number;
  /** Sum of the rows' counts: at most `maxBatchTokens`. */
  tokenCount: number;
}

/** An empty plan. */
export function createPlan(): Plan {
  return { rows: [], rowCount: 0, tokenCount: 0 };
}
