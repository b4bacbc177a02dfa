import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { NODE_ENTRIES, readElf } from "../support/elf.ts";
import { ROOT } from "../support/sources.ts";

/** Of this checkout, or where KVASIR_PREBUILD says. */
const folder = join(process.env.KVASIR_PREBUILD ?? ROOT, "build/Release");

test.each(["kvasir.node", "test/kvasir_test.node"])("%s shows its entries alone, and binds once", (name) => {
  const { exports, bindsNow, isReadOnly } = readElf(readFileSync(join(folder, name)));
  expect(exports.toSorted()).toEqual(NODE_ENTRIES);
  expect([bindsNow, isReadOnly]).toEqual([true, true]);
});
