import { expect, test } from "vitest";
import { createBuffers, createDrafts, pack } from "../../../lib/native/batch.ts";
import type { Plan } from "../../../lib/schedule/plan.ts";
import type { Sequence } from "../../../lib/schedule/sequence.ts";

const table = (first: number, ids: number[]) => ({ first, count: ids.length, ids: Int32Array.from([...ids, 99]) });
const sequence = (slot: number, length: number, pages: object[]) =>
  ({ slot, length, tokens: Int32Array.from({ length: length + 5 }, (_, i) => 100 + i), pages }) as unknown as Sequence;

const noDraft = { draftStart: 0, draftCount: 0, drafts: 0 };

test("a step in CSR form: a chunk, a decode whose token is on the device, a score's end", () => {
  const plan: Plan = {
    step: 1,
    rows: [
      {
        sequence: sequence(3, 50, [table(0, [7, 2, 9]), table(1, [5, 6])]),
        start: 32,
        count: 5,
        output: "none",
        outputs: 0,
        guesses: 0,
        ...noDraft,
      },
      {
        sequence: sequence(0, 20, [table(0, [4, 1]), table(0, [8, 0])]),
        start: 20,
        count: 1,
        output: "sample",
        outputs: 1,
        guesses: 0,
        ...noDraft,
      },
      { sequence: sequence(1, 6, [table(0, [3]), table(0, [3])]), start: 2, count: 4, output: "score", outputs: 4, guesses: 0, ...noDraft },
      { sequence: sequence(2, 9, []), start: 0, count: 1, output: "none", outputs: 0, guesses: 0, ...noDraft }, // spare
    ],
    rowCount: 3,
    tokenCount: 10,
    draftTokens: 0,
  };
  const buffers = createBuffers({ maxBatchTokens: 16, maxSlots: 8, groups: 2 });
  pack(plan, buffers, 2);
  const part = (array: Int32Array, length: number) => [...array.subarray(0, length)];
  expect(buffers.rowCount).toBe(3);
  expect(part(buffers.slots, 3)).toEqual([3, 0, 1]);
  expect(part(buffers.qIndptr, 4)).toEqual([0, 5, 6, 10]);
  expect(part(buffers.starts, 3)).toEqual([32, 20, 2]);
  expect(part(buffers.tokens, 10)).toEqual([132, 133, 134, 135, 136, -1, 102, 103, 104, 105]);
  expect(part(buffers.kinds, 3)).toEqual([0, 1, 3]);
  expect(part(buffers.outIndptr, 4)).toEqual([0, 0, 1, 5]);
  expect(part(buffers.nextTokens, 3)).toEqual([-1, -1, -1]);
  expect(part(buffers.kvIndptr, 8)).toEqual([0, 3, 5, 6, 6, 8, 10, 11]);
  expect(part(buffers.kvFirst, 6)).toEqual([0, 0, 0, 1, 0, 0]);
  expect(part(buffers.kvPages, 11)).toEqual([7, 2, 9, 4, 1, 3, 5, 6, 8, 0, 3]);
  plan.rows[2]!.count = 3;
  pack(plan, buffers, 2);
  expect(buffers.nextTokens[2]).toBe(105);
});

test("kvPages grows when a step's sequences hold more pages", () => {
  const ids = Array.from({ length: 5000 }, (_, i) => i);
  const buffers = createBuffers({ maxBatchTokens: 16, maxSlots: 8, groups: 1 });
  const row = {
    sequence: sequence(0, 8, [table(0, ids)]),
    start: 7,
    count: 1,
    output: "sample" as const,
    outputs: 1,
    guesses: 0,
    ...noDraft,
  };
  pack({ step: 1, rows: [row, row], rowCount: 2, tokenCount: 2, draftTokens: 0 }, buffers, 1);
  expect([...buffers.kvPages.subarray(5000, 10000)]).toEqual(ids);
});

test("guesses stand behind the known tokens, or behind the one on the device", () => {
  const [known, onDevice] = [sequence(0, 9, [table(0, [1])]), sequence(1, 8, [table(0, [2])])];
  const row = { start: 8, count: 4, output: "sample" as const, outputs: 4, guesses: 3, ...noDraft };
  const rows = [known, onDevice].map((sequence) => ({ sequence, ...row }));
  const buffers = createBuffers({ maxBatchTokens: 16, maxSlots: 8, groups: 1 });
  pack({ step: 1, rows, rowCount: 2, tokenCount: 8, draftTokens: 0 }, buffers, 1);
  expect([...buffers.tokens.subarray(0, 8)]).toEqual([108, 109, 110, 111, -1, 109, 110, 111]);
  expect([...buffers.outIndptr.subarray(0, 3)]).toEqual([0, 4, 8]);
});

test("what the draft model runs first: known tokens, the one on the device; nothing where no row has any", () => {
  const limits = { maxBatchTokens: 16, maxSlots: 8, groups: 1 };
  const [buffers, drafts] = [createBuffers(limits), createDrafts(limits)];
  const plain = { start: 8, count: 1, output: "sample" as const, outputs: 1, guesses: 0, ...noDraft };
  const drafting = { start: 8, count: 3, output: "sample" as const, outputs: 3, guesses: 2, draftStart: 6, draftCount: 3, drafts: 2 };
  const rows = [{ sequence: sequence(0, 9, [table(0, [1])]), ...plain }, { sequence: sequence(1, 8, [table(0, [2])]), ...drafting }]; // biome-ignore format: a line
  pack({ step: 1, rows, rowCount: 2, tokenCount: 4, draftTokens: 3 }, buffers, 1, drafts);
  expect(buffers.drafts).toBe(drafts);
  const { indptr, starts, tokens, counts } = drafts;
  expect([indptr, tokens].map((array) => [...array.subarray(0, 3)])).toEqual([[0, 0, 3], [106, 107, -1]]); // biome-ignore format: a line
  expect([starts[1], counts[0], counts[1]]).toEqual([6, 0, 2]);
  pack({ step: 2, rows, rowCount: 1, tokenCount: 1, draftTokens: 0 }, buffers, 1, drafts);
  expect(buffers.drafts).toBeUndefined();
});
