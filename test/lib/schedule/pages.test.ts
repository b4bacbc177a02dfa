import { describe, expect, test } from "vitest";
import { PagedCache } from "../../../lib/schedule/cache.ts";
import type { GroupPages } from "../../../lib/schedule/groups/group.ts";
import { createGroup } from "../../../lib/schedule/groups/index.ts";
import { WindowPages } from "../../../lib/schedule/groups/window.ts";
import { PagePool, PageTable } from "../../../lib/schedule/pages.ts";
import { longestPrefix, prefixHash } from "../../../lib/schedule/prefix.ts";
import { createSequence, type Sequence } from "../../../lib/schedule/sequence.ts";
import { allOf, options, windowOf } from "./support.ts";

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
    for (const [i, page] of pages.entries()) pool.offer(page, `hash ${i}`, 1);
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
    pool.offer(page, "hash", 1);
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
    pool.offer(first, "hash", 1);
    pool.offer(second, "hash", 1);
    pool.release(first);
    pool.release(second);
    expect([pool.find("hash"), pool.cached]).toEqual([first, 1]);
    pool.check([]);
  });

  test("forgets the names of a step and later ones: cached pages come free, used ones stay with their tables", () => {
    const pool = new PagePool(5);
    const pages = [pool.take(), pool.take(), pool.take(), pool.take()] as const;
    for (const [i, page] of pages.entries()) pool.offer(page, `hash ${i}`, i);
    pool.offer(pages[3], "hash 3 again", 0); // keeps its name and step
    for (const i of [0, 1, 2]) pool.release(pages[i]!);
    pool.forget(2);
    pool.check([tableOf(pages[3])]);
    expect([0, 1, 2, 3].map((i) => pool.find(`hash ${i}`))).toEqual([pages[0], pages[1], -1, -1]);
    expect([pool.used, pool.cached, pool.available, pool.stepOf(pages[1])]).toEqual([1, 2, 4, 1]);
    pool.offer(pages[3], "hash 2", 4);
    pool.release(pages[3]);
    expect([pool.find("hash 2"), pool.cached]).toEqual([pages[3], 3]);
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
  const sequence = { hashes } as unknown as Sequence;
  const group = (window: number, pages: number[]): GroupPages => {
    const made = createGroup({ kind: window === 0 ? "all" : "window", window, pages: 8, draft: false }, 0, {
      pageSize: 4,
      maxBatchTokens: 8,
    });
    for (const p of pages) made.pool.offer(made.pool.take(), hashes[p + 1]!, 1);
    return made;
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
    expect(longestPrefix(groups, sequence, limit)).toBe(pages);
    expect(longestPrefix([...groups].reverse(), sequence, limit)).toBe(pages);
  });

  test("a group alone knows its longest prefix, and the latest step that named a page of it", () => {
    const window = group(9, []);
    for (const [p, step] of [[0, 9], [1, 3], [2, 7], [3, 5], [5, 8]] as const) window.pool.offer(window.pool.take(), hashes[p + 1]!, step); // biome-ignore format: a line
    expect([8, 6, 5, 4, 1].map((limit) => window.continuable(sequence, limit))).toEqual([4, 4, 4, 4, 1]);
    const finder = createSequence(options(20), 0, 1);
    finder.hashes.push(...hashes);
    expect(window.attach(finder, 4)).toBe(7); // pages 2 and 3
    expect([finder.pages[0]!.first, finder.pages[0]!.count]).toEqual([2, 2]);
    window.release(finder);
    expect(window.attach(finder, 0)).toBe(0);
  });

  test("the first page of which a position sees something", () => {
    const window = (tokens: number) =>
      new WindowPages({ kind: "window", window: tokens, pages: 8, draft: false }, 0, { pageSize: 4, maxBatchTokens: 8 });
    expect([0, 4, 5, 7, 8].map((position) => window(5).firstSeen(position))).toEqual([0, 0, 0, 0, 1]);
    expect(window(1).firstSeen(8)).toBe(2);
  });

  test("a kind and its window agree", () => {
    for (const [kind, window] of [
      ["all", 1],
      ["window", 0],
    ] as const) {
      // biome-ignore format: a line
      expect(() => createGroup({ kind, window, pages: 8, draft: false }, 0, { pageSize: 4, maxBatchTokens: 8 })).toThrow("window is");
    }
  });
});

test("a sequence remembers the latest step that named a page which it found, in any group, at any time", () => {
  const config = { pageSize: 4, maxBatchTokens: 8, maxContext: 32, prefixCache: true, modelId: "m", groups: [allOf(8), windowOf(5, 8)] };
  const cache = new PagedCache(config, createGroup);
  const sequence = createSequence(options(9), 0, 2);
  prefixHash(sequence, 2, 4, "m");
  for (const p of [0, 1]) for (const [g, { pool }] of cache.groups.entries()) pool.offer(pool.take(), sequence.hashes[p + 1]!, 2 * g + p);
  expect([cache.attach(sequence, [], []), sequence.computed, sequence.foundStep]).toEqual([true, 8, 3]);
  cache.release(sequence);
  cache.forget(2);
  expect([cache.attach(sequence, [], []), sequence.computed, sequence.foundStep]).toEqual([true, 0, 3]);
});
