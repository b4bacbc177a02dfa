import { totalmem } from "node:os";
import { afterEach, expect, test, vi } from "vitest";
import type { Machine } from "../../../lib/api/device.ts";
import { memoryBytes } from "../../../lib/api/memory.ts";
import { pageBytes } from "../../../lib/api/pools.ts";
import { fakeSource } from "../../support/fake-engine.ts";
import { checkedOptions } from "../../support/options.ts";

const machine: Machine = { isas: () => ["portable", "avx2"], gpuCount: () => 0, gpuFreeBytes: () => undefined };
const limit = vi.spyOn(process, "constrainedMemory");
afterEach(() => void limit.mockReset());

test("memory is the container's where that is less than the machine's", () => {
  limit.mockReturnValue(2 ** 28);
  expect(memoryBytes()).toBe(2 ** 28);
  for (const unlimited of [0, 2 ** 64]) {
    limit.mockReturnValue(unlimited);
    expect(memoryBytes()).toBe(totalmem());
  }
});

test("the cache is sized from it: a quarter unless more is needed, and no more than all", () => {
  const model = fakeSource(2 ** 20);
  const group = model.spec.cacheGroups[0]!;
  limit.mockReturnValue(2 ** 24);
  const { pages, maxContext } = checkedOptions({ isa: "portable" }, model, machine);
  expect(pages[0]! * pageBytes(group, "f16")).toBeLessThanOrEqual(2 ** 22);
  expect(maxContext).toBeLessThan(2 ** 20);
  expect(() => checkedOptions({ isa: "portable", kvCacheBytes: 2 ** 24 + 1 }, model, machine)).toThrow(`from 1 to ${2 ** 24}`);
});

test("what a GPU has for the cache is its own: a container's memory does not bound it", () => {
  const gpu: Machine = { ...machine, gpuCount: () => 1, gpuFreeBytes: () => 80 * 2 ** 30 };
  const options = (kvCacheBytes: number) => checkedOptions({ device: "cuda", kvCacheBytes }, fakeSource(), gpu);
  expect(options(40 * 2 ** 30).pages[0]).toBeGreaterThan(0);
  expect(() => options(2 ** 40)).toThrow(`kvCacheBytes is ${2 ** 40}; expected a whole number from 1 to ${80 * 2 ** 30}`);
});
