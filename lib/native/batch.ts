import type { Plan, PlanRow } from "../schedule/plan.ts";
import { MAX_TOP_LOGPROBS, ROW_OUTPUT, type StepBuffers } from "./addon.ts";

/**
 * From a plan to the flat arrays that cross to the native side. Two rows, the first a prompt's chunk and the second a decode whose
 * token is still on the device, in one cache group with pages of 16:
 *
 *     rows      A: tokens 32..36 of a prompt     B: token at 20, sampled by the step before
 *     qIndptr   [0,                           5, 6]
 *     starts    [32,                          20]
 *     tokens    [t32 t33 t34 t35 t36,         -1]
 *     kvIndptr  [0,                           3, 5]
 *     kvPages   [7 2 9,                       4 1]
 */

/** Arrays for the largest step. Only `kvPages` has no small bound (long sequences, shared pages): it doubles when a step needs more. */
export function createBuffers(limits: { maxBatchTokens: number; maxSlots: number; groups: number }): StepBuffers {
  const rows = Math.min(limits.maxSlots, limits.maxBatchTokens);
  return {
    rowCount: 0,
    slots: new Int32Array(rows),
    qIndptr: new Int32Array(rows + 1),
    starts: new Int32Array(rows),
    tokens: new Int32Array(limits.maxBatchTokens),
    outputs: new Int32Array(rows),
    nextTokens: new Int32Array(rows),
    wantLogits: new Int32Array(rows),
    kvIndptr: new Int32Array(limits.groups * (rows + 1)),
    kvFirst: new Int32Array(limits.groups * rows),
    kvPages: new Int32Array(4096),
    sampled: new Int32Array(rows),
    logprobs: new Float32Array(rows),
    topTokens: new Int32Array(rows * MAX_TOP_LOGPROBS),
    topLogprobs: new Float32Array(rows * MAX_TOP_LOGPROBS),
  };
}

/** Writes `plan`, as the scheduler has just made it, into `buffers`; `wantLogits` is left to the caller. */
export function pack(plan: Plan, buffers: StepBuffers, groups: number): void {
  buffers.rowCount = plan.rowCount;
  for (let b = 0; b < plan.rowCount; b++) packRow(plan.rows[b]!, buffers, b);
  let end = 0;
  for (let g = 0; g < groups; g++) end = packPages(plan, buffers, g, end);
}

function packRow({ sequence, start, count, output }: PlanRow, buffers: StepBuffers, b: number): void {
  const q = buffers.qIndptr[b]!;
  buffers.slots[b] = sequence.slot;
  buffers.starts[b] = start;
  buffers.outputs[b] = ROW_OUTPUT[output];
  buffers.nextTokens[b] = output === "score" && start + count < sequence.length ? sequence.tokens[start + count]! : -1;
  for (let i = 0; i < count; i++) buffers.tokens[q + i] = start + i < sequence.length ? sequence.tokens[start + i]! : -1;
  buffers.qIndptr[b + 1] = q + count;
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
