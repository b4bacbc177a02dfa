import { describe, expect, test } from "vitest";
import { PagePool, PageTable } from "../../../lib/schedule/pages.ts";
import { firstSeenPage, longestPrefix } from "../../../lib/schedule/prefix.ts";

function tableOf(...ids: number[]): PageTable {
  const table = new PageTable();
  for (const id of ids) table.push(id);
  return table;
}

describe("PageTable", () => {
  test("grows, and drops pages in front", () => {
    const table = tableOf(...Array.from({ length: 20 }, (_, i) => 100 + i));
    table.dropFirst(18);
    expect([table.first, table.count, ...table.ids.subarray(0, 2)]).toEqual([18, 2, 118, 119]);
    table.push(7);
    expect([...table.ids.subarray(0, table.count)]).toEqual([118, 119, 7]);
  });
});

describe("PagePool", () => {
  test("gives free pages first, then evicts the least recently used", () => {
    const pool = new PagePool(4);
    const pages = [pool.take(), pool.take(), pool.take()] as const;
    for (const [i, page] of pages.entries()) pool.offer(page, `hash ${i}`);
    for (const i of [1, 0, 2]) pool.release(pages[i]!);
    pool.check([]);
    expect([pool.used, pool.cached, pool.available]).toEqual([0, 3, 4]);
    pool.retain(pool.find("hash 1"));
    pool.release(pool.find("hash 1")); // used once more, so the last to go
    const taken = [pool.take(), pool.take(), pool.take(), pool.take()];
    expect(taken.slice(1)).toEqual([pages[0], pages[2], pages[1]]);
    expect(pool.find("hash 1")).toBe(-1);
    pool.check([tableOf(...taken)]);
    expect(() => pool.take()).toThrow("all 4 pages");
  });

  test("a page lives as long as one table holds it", () => {
    const pool = new PagePool(2);
    const page = pool.take();
    pool.offer(page, "hash");
    pool.retain(page);
    pool.release(page);
    expect(pool.used).toBe(1);
    pool.check([tableOf(page)]);
    pool.release(page);
    expect([pool.used, pool.cached]).toEqual([0, 1]);
  });

  test("the first page of two with the same tokens keeps the hash; the other is plain", () => {
    const pool = new PagePool(2);
    const [first, second] = [pool.take(), pool.take()];
    pool.offer(first, "hash");
    pool.offer(second, "hash");
    pool.release(first);
    pool.release(second);
    expect([pool.find("hash"), pool.cached]).toEqual([first, 1]);
    pool.check([]);
  });

  test("check finds a page that a table holds and the pool does not, and the other way round", () => {
    const pool = new PagePool(2);
    expect(() => pool.check([tableOf(0)])).toThrow("page 0 has 0 references, tables hold it 1 times");
    const page = pool.take();
    expect(() => pool.check([])).toThrow(`page ${page} has 1 references`);
  });
});

describe("longestPrefix", () => {
  const hashes = Array.from({ length: 9 }, (_, p) => `prefix of ${p}`); // hashes[p + 1] names page p
  const group = (window: number, pages: number[]) => {
    const pool = new PagePool(8);
    for (const p of pages) pool.offer(pool.take(), hashes[p + 1]!);
    return { window, pool, mostPages: 8 };
  };
  const all = group(0, [0, 1, 2, 3, 4, 5]);

  test.each([
    ["sees all: pages in a row", [all], 8, 6],
    ["sees all: the least of two", [all, group(0, [0, 1, 3])], 8, 2],
    ["no more than asked", [all], 3, 3],
    ["a window that is whole before page 4 only", [all, group(9, [2, 3, 5])], 8, 4],
    ["a window of one token needs no page", [all, group(1, [])], 8, 6],
    ["windows of different sizes", [group(5, [3, 4, 5]), group(9, [2, 3, 4])], 8, 5],
    ["a window longer than the prefix", [group(100, [0, 1, 2])], 8, 3],
    ["nothing", [all, group(5, [])], 8, 0],
  ])("%s", (_, groups, limit, pages) => {
    expect(longestPrefix(groups, hashes, limit, 4)).toBe(pages);
  });

  test("the first page of which a position sees something", () => {
    expect([0, 4, 5, 7, 8].map((position) => firstSeenPage(5, position, 4))).toEqual([0, 0, 0, 0, 1]);
    expect(firstSeenPage(1, 8, 4)).toBe(2);
    expect(firstSeenPage(0, 100, 4)).toBe(0);
  });
});
