import { expect, test } from "vitest";
import { fused, fusedTransposed, type Names } from "../../../lib/model/layouts.ts";
import { buildManifest } from "../../../lib/model/manifest.ts";
import type { ModelSpec } from "../../../lib/model/spec.ts";
import { expectError } from "../../support/expect.ts";

/** The rows of q [4, 32] and k [2, 32] of a file with one tensor. */
function rowsOf(names: Names, type: string, shape: number[]) {
  const tensors = ["q", "k"].map((name, i) => ({ name, source: names[name]!, shape: [4 - 2 * i, 32], optional: false }));
  const bytes = 0;
  const file = { path: "m", size: 1 << 20, tensors: [{ name: "qk.weight", type, shape, offset: 100, bytes }] };
  return buildManifest({ architecture: "test", layers: [] } as unknown as ModelSpec, { tensors, ignored: undefined, normsPlusOne: false }, [
    file,
  ]);
}

test("a part of a tensor begins at its row, in whole blocks", async () => {
  const parts = fused("qk.weight", 32, { q: 4, k: 2 });
  expect(rowsOf(parts, "F16", [6, 32]).map(({ offset, shape }) => [offset, shape])).toEqual([
    [100, [4, 32]],
    [100 + 4 * 64, [2, 32]],
  ]);
  expect(rowsOf(parts, "Q8_0", [6, 32])[1]!.offset).toBe(100 + 4 * 34);
  await expectError(() => rowsOf(parts, "Q4_K", [6, 32]), "FILE_INVALID", "rows of 32", "256");
  await expectError(() => rowsOf(parts, "F16", [5, 32]), "FILE_INVALID", "qk.weight", "expected [6,32]");
});

test("of a transposed one at its column", async () => {
  const parts = fusedTransposed("qk.weight", 32, { q: 4, k: 2 });
  const [, k] = rowsOf(parts, "F32", [32, 6]);
  expect(k).toMatchObject({ offset: 100 + 4 * 4, shape: [2, 32], layout: { kind: "transposed", stride: 6 } });
  await expectError(() => rowsOf(parts, "F32", [6, 32]), "FILE_INVALID", "expected [32,6]");
});
