/** Random sequences in a paged cache, for the tests of append_kv and attention. */
import type { Random } from "./reference.ts";

/** An element type of the cache. */
export type CacheType = "F32" | "F16" | "BF16";

/** Sizes of one layer's cache. */
export interface CacheShape {
  type: CacheType;
  kvHeads: number;
  headSize: number;
  pageSize: number;
}

/** Rows of a step: row b runs counts[b] tokens from position starts[b]. */
export interface PagedRows {
  indptr: Int32Array;
  starts: Int32Array;
  pageIndptr: Int32Array;
  pageFirst: Int32Array;
  pages: Int32Array;
  pageCount: number;
}

/** Pages in random order for the rows; those wholly before a window are missing, unless there is none (0). */
export function pageRows(rows: { start: number; count: number }[], pageSize: number, window: number, random: Random): PagedRows {
  const first = rows.map(({ start }) => (window > 0 ? Math.floor(Math.max(0, start - window + 1) / pageSize) : 0));
  const needed = rows.map(({ start, count }, b) => Math.ceil((start + count) / pageSize) - first[b]!);
  const total = needed.reduce((sum, n) => sum + n, 0);
  const order = Array.from({ length: total + 3 }, (_, i) => ({ i, key: random.uniform() })).sort((a, b) => a.key - b.key);
  return {
    indptr: cumulate(rows.map(({ count }) => count)),
    starts: Int32Array.from(rows, ({ start }) => start),
    pageIndptr: cumulate(needed),
    pageFirst: Int32Array.from(first),
    pages: Int32Array.from(order.slice(0, total), ({ i }) => i),
    pageCount: total + 3,
  };
}

function cumulate(counts: number[]): Int32Array {
  const sums = new Int32Array(counts.length + 1);
  counts.forEach((count, i) => {
    sums[i + 1] = sums[i]! + count;
  });
  return sums;
}

/** The place of an element in K and V: position `position` of row b. */
export function places(
  paged: PagedRows,
  shape: CacheShape,
  b: number,
  head: number,
  position: number,
  d: number,
): { k: number; v: number } {
  const { kvHeads, headSize, pageSize } = shape;
  const page = paged.pages[paged.pageIndptr[b]! + Math.floor(position / pageSize) - paged.pageFirst[b]!]!;
  const block = (page * kvHeads + head) * headSize * pageSize;
  const place = position % pageSize;
  return { k: block + d * pageSize + place, v: block + place * headSize + d };
}

/** Bytes of K (and of V) filled with NaN. */
export function emptyCache(paged: PagedRows, shape: CacheShape): Uint8Array {
  const elements = paged.pageCount * shape.kvHeads * shape.headSize * shape.pageSize;
  return new Uint8Array(elements * (shape.type === "F32" ? 4 : 2)).fill(0xff);
}
