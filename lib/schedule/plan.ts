import { askFor, createSequence, type Sequence, takeBack } from "./sequence.ts";

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
  /** How many of its last tokens give an output: 0 for `none`, 1 for `logits`, 1 + `guesses` for `sample`, all for `score`. */
  outputs: number;
  /** How many of its last tokens are guesses, which `sequence.tokens` has at their positions. */
  guesses: number;
  /** The draft model runs the sequence's tokens [draftStart, draftStart + draftCount) before the step, and then guesses `drafts` tokens. */
  draftStart: number;
  draftCount: number;
  drafts: number;
}

/** What a row has beside the sequence's own tokens. */
export interface RowExtras {
  guesses: number;
  draftCount: number;
  drafts: number;
}

/** Nothing. */
export const NO_EXTRAS: Readonly<RowExtras> = { guesses: 0, draftCount: 0, drafts: 0 };

/** One step: who runs how many tokens. Plans are reused, so that a step allocates nothing that grows with the batch. */
export interface Plan {
  /** Running number, from 1 on. */
  step: number;
  /** Rows in use are [0, rowCount); the rest of the array is spare, and keeps no sequence alive. */
  rows: PlanRow[];
  rowCount: number;
  /** Sum of the rows' counts: at most `maxBatchTokens`. */
  tokenCount: number;
  /** Sum of the rows' draftCounts: at most `maxBatchTokens`, too. */
  draftTokens: number;
}

/** An empty plan. */
export function createPlan(): Plan {
  return { step: 0, rows: [], rowCount: 0, tokenCount: 0, draftTokens: 0 };
}

/** Whose spare rows are. */
const NOBODY: Sequence = createSequence(
  { prompt: new Int32Array(0), maxTokens: 0, priority: 0, output: "sample", cacheSalt: "", adapter: "", media: [], speculate: false },
  -1,
  0,
);

/** Empties a plan for another step, or when its step has ended. */
export function clearPlan(plan: Plan, step: number = plan.step): void {
  for (let b = 0; b < plan.rowCount; b++) plan.rows[b]!.sequence = NOBODY;
  plan.step = step;
  plan.rowCount = 0;
  plan.tokenCount = 0;
  plan.draftTokens = 0;
}

/**
 * The sequence's next `own` tokens and its guesses become a row: from now on they count as computed, and what the row samples is on its way.
 * Of the guesses that the draft model makes it has run all but the last.
 */
export function addRow(plan: Plan, sequence: Sequence, own: number, extras: Readonly<RowExtras> = NO_EXTRAS): void {
  const { guesses, draftCount, drafts } = extras;
  const { computed: start, draftComputed: draftStart } = sequence;
  const count = own + guesses;
  sequence.computed += count;
  sequence.draftComputed += draftCount + Math.max(0, drafts - 1);
  const output = outputOf(sequence, guesses);
  const outputs = output === "none" ? 0 : output === "score" ? count : 1 + guesses;
  if (samples(output)) askFor(sequence, outputs);
  if (outputs > 0) sequence.logitStep = plan.step;
  const spare = plan.rows[plan.rowCount];
  if (spare === undefined) plan.rows.push({ sequence, start, count, output, outputs, guesses, draftStart, draftCount, drafts });
  else {
    spare.sequence = sequence;
    spare.start = start;
    spare.count = count;
    spare.output = output;
    spare.outputs = outputs;
    spare.guesses = guesses;
    spare.draftStart = draftStart;
    spare.draftCount = draftCount;
    spare.drafts = drafts;
  }
  plan.rowCount += 1;
  plan.tokenCount += count;
  plan.draftTokens += draftCount;
}

/** Undoes `addRow`: the row, the sequence's last, becomes a spare one; the others keep their order. */
export function removeRow(plan: Plan, index: number): void {
  const [row] = plan.rows.splice(index, 1) as [PlanRow];
  plan.rows.push(row);
  plan.rowCount -= 1;
  plan.tokenCount -= row.count;
  plan.draftTokens -= row.draftCount;
  const { sequence } = row;
  row.sequence = NOBODY;
  sequence.computed = row.start;
  sequence.draftComputed = row.draftStart;
  if (samples(row.output)) takeBack(sequence);
}

/** A row samples when it reaches the last token that is known or on the device. */
function outputOf({ options, computed, length, sampling }: Sequence, guesses: number): RowOutput {
  if (options.output === "score") return "score";
  return computed === length + sampling + guesses ? options.output : "none";
}

function samples(output: RowOutput): boolean {
  return output === "sample" || output === "logits";
}
