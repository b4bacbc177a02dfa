import { counted, KvasirError } from "../errors.ts";
import type { Plan, PlanRow } from "../schedule/plan.ts";
import { wantsLogits } from "../schedule/sequence.ts";
import { MAX_TOP_LOGPROBS, ROW_OUTPUT, type StepBuffers, type StepDrafts, type StepResults } from "./addon.ts";

/**
 * Arrays for the largest step. Two have no small bound and double when a step needs more: `kvPages` (long sequences, shared pages), and the
 * results, of which a scored text has one for each of its tokens.
 */
export function createBuffers(limits: { maxBatchTokens: number; maxSlots: number; groups: number }): StepBuffers {
  const rows = Math.min(limits.maxSlots, limits.maxBatchTokens);
  return {
    rowCount: 0,
    slots: new Int32Array(rows),
    qIndptr: new Int32Array(rows + 1),
    starts: new Int32Array(rows),
    tokens: new Int32Array(limits.maxBatchTokens),
    kinds: new Int32Array(rows),
    outIndptr: new Int32Array(rows + 1),
    nextTokens: new Int32Array(rows),
    logitRows: new Int32Array(rows),
    kvIndptr: new Int32Array(limits.groups * (rows + 1)),
    kvFirst: new Int32Array(limits.groups * rows),
    kvPages: new Int32Array(4096), // 256 sequences of 256 tokens: more is rare
    logits: undefined,
    drafts: undefined,
    ...createResults(rows),
  };
}

/** Arrays for what the draft model runs before the largest step. */
export function createDrafts(limits: { maxBatchTokens: number; maxSlots: number }): StepDrafts {
  const rows = Math.min(limits.maxSlots, limits.maxBatchTokens);
  const [indptr, starts, counts] = [new Int32Array(rows + 1), new Int32Array(rows), new Int32Array(rows)];
  return { indptr, starts, tokens: new Int32Array(limits.maxBatchTokens), counts };
}

/** Results of `outputs` outputs. */
export function createResults(outputs: number): StepResults {
  return {
    sampled: new Int32Array(outputs),
    logprobs: new Float32Array(outputs),
    topTokens: new Int32Array(outputs * MAX_TOP_LOGPROBS),
    topLogprobs: new Float32Array(outputs * MAX_TOP_LOGPROBS),
  };
}

/** Writes `plan`, as the scheduler has just made it, into `buffers` (and `drafts`), without room for logits: see `reserveLogits`. */
export function pack(plan: Plan, buffers: StepBuffers, groups: number, drafts?: StepDrafts): void {
  buffers.rowCount = plan.rowCount;
  for (let b = 0; b < plan.rowCount; b++) packRow(plan.rows[b]!, buffers, b);
  let end = 0;
  for (let g = 0; g < groups; g++) end = packPages(plan, buffers, g, end);
  const outputs = buffers.outIndptr[plan.rowCount]!;
  buffers.drafts = plan.draftTokens === 0 ? undefined : packDrafts(plan, drafts!);
  if (outputs > buffers.sampled.length) Object.assign(buffers, createResults(Math.max(outputs, 2 * buffers.sampled.length)));
}

/** Logits that a step gives at most. Chosen: 16 MB are copied to JavaScript, to processors and back in some 20 ms. */
const MAX_LOGITS = 1 << 22;

/** Tokens whose logits a step gives at most. */
export function mostLogitRows(vocabSize: number): number {
  return Math.max(1, Math.floor(MAX_LOGITS / vocabSize));
}

/**
 * Makes room for the logits of the rows that want them. Throws OUT_OF_MEMORY where that much cannot be had. The array is the step's own:
 * processors are given copies of their parts.
 */
export function reserveLogits(plan: Plan, buffers: StepBuffers, vocabSize: number): void {
  let rows = 0;
  for (let b = 0; b < plan.rowCount; b++) {
    const row = plan.rows[b]!;
    const wanted = row.outputs > 0 && wantsLogits(row.sequence);
    buffers.logitRows[b] = wanted ? rows : -1;
    if (wanted) rows += row.outputs;
  }
  buffers.logits = rows === 0 ? undefined : floats(rows * vocabSize, `logits of ${counted(rows, "token")}`);
}

/** A new array. Throws OUT_OF_MEMORY. */
export function floats(length: number, what: string): Float32Array {
  try {
    return new Float32Array(length);
  } catch (cause) {
    throw new KvasirError("OUT_OF_MEMORY", `${what} need ${counted(length * 4, "byte")}, which could not be had`, { cause });
  }
}

function packRow({ sequence, start, count, output, outputs, guesses }: PlanRow, buffers: StepBuffers, b: number): void {
  const q = buffers.qIndptr[b]!;
  const { length, tokens } = sequence;
  const firstGuess = start + count - guesses;
  buffers.slots[b] = sequence.slot;
  buffers.starts[b] = start;
  buffers.kinds[b] = ROW_OUTPUT[output];
  buffers.outIndptr[b + 1] = buffers.outIndptr[b]! + outputs;
  buffers.nextTokens[b] = output === "score" && start + count < length ? tokens[start + count]! : -1;
  for (let p = start; p < start + count; p++) buffers.tokens[q + p - start] = p < length || p >= firstGuess ? tokens[p]! : -1;
  buffers.qIndptr[b + 1] = q + count;
}

function packDrafts(plan: Plan, drafts: StepDrafts): StepDrafts {
  for (let b = 0; b < plan.rowCount; b++) {
    const { sequence, draftCount, draftStart, drafts: count } = plan.rows[b]!;
    const q = drafts.indptr[b]!;
    for (let i = 0; i < draftCount; i++) drafts.tokens[q + i] = draftStart + i < sequence.length ? sequence.tokens[draftStart + i]! : -1;
    drafts.indptr[b + 1] = q + draftCount;
    drafts.starts[b] = draftStart;
    drafts.counts[b] = count;
  }
  return drafts;
}

/** The pages of group g from kvPages[end] on; returns their end. */
function packPages(plan: Plan, buffers: StepBuffers, g: number, end: number): number {
  const rows = plan.rowCount;
  const indptr = g * (rows + 1);
  buffers.kvIndptr[indptr] = end;
  for (let b = 0; b < rows; b++) {
    const table = plan.rows[b]!.sequence.pages[g]!;
    if (end + table.count > buffers.kvPages.length) buffers.kvPages = grown(buffers.kvPages, end + table.count);
    for (let i = 0; i < table.count; i++) buffers.kvPages[end + i] = table.ids[i]!;
    end += table.count;
    buffers.kvFirst[g * rows + b] = table.first;
    buffers.kvIndptr[indptr + b + 1] = end;
  }
  return end;
}

function grown(array: Int32Array, length: number): Int32Array {
  const larger = new Int32Array(Math.max(length, array.length * 2));
  larger.set(array);
  return larger;
}
