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

/** The sequence's next `count` tokens become a row: from now on they count as computed, and what the row samples is on its way. */
export function addRow(plan: Plan, sequence: Sequence, count: number): void {
  const start = sequence.computed;
  sequence.computed += count;
  const output = outputOf(sequence);
  if (output === "sample" || output === "logits") sequence.sampling += 1;
  if (output === "logits") sequence.awaitingToken = true;
  const spare = plan.rows[plan.rowCount];
  if (spare === undefined) plan.rows.push({ sequence, start, count, output });
  else {
    spare.sequence = sequence;
    spare.start = start;
    spare.count = count;
    spare.output = output;
  }
  plan.rowCount += 1;
  plan.tokenCount += count;
}

/** A row samples when it reaches the last token that is known or on the device. */
function outputOf({ options, computed, length, sampling }: Sequence): RowOutput {
  if (options.output === "score") return "score";
  return computed === length + sampling ? options.output : "none";
}
