/** Random sequences in a paged cache, for the tests of qk_rope_append and attention. */
import { e4m3, fromHalf, type Random } from "./reference.ts";

/** An element type of the cache. */
export type CacheType = "F32" | "F16" | "BF16" | "F8_E4M3";

const ELEMENT_BYTES: Readonly<Record<CacheType, number>> = { F32: 4, F16: 2, BF16: 2, F8_E4M3: 1 };

/** Sizes of one layer's cache. */
export interface CacheShape {
  type: CacheType;
  kvHeads: number;
  headSize: number;
  pageSize: number;
}

/** A row of a step: `count` tokens from position `start`. */
export interface PagedRow {
  start: number;
  count: number;
}

/** Rows of a step with the page table of one cache group; the names are those of StepBuffers. */
export interface PagedStep {
  qIndptr: Int32Array;
  starts: Int32Array;
  kvIndptr: Int32Array;
  kvFirst: Int32Array;
  kvPages: Int32Array;
}

/** The cache of one layer as ops take it: bytes of keys and values, with as many elements from a page to the next. */
export interface LayerCache extends CacheShape {
  k: Uint8Array;
  v: Uint8Array;
  kStride: number;
  vStride: number;
}

/** Pages beyond those that a step's rows have. */
const SPARE_PAGES = 3;

/** Pages in random order for the rows; those wholly before a window are missing, unless there is none (0). */
export function pageRows(rows: PagedRow[], pageSize: number, window: number, random: Random): PagedStep {
  const first = rows.map(({ start }) => (window > 0 ? Math.floor(Math.max(0, start - window + 1) / pageSize) : 0));
  const needed = rows.map(({ start, count }, b) => Math.ceil((start + count) / pageSize) - first[b]!);
  const total = needed.reduce((sum, n) => sum + n, 0);
  const order = Array.from({ length: total + SPARE_PAGES }, (_, i) => ({ i, key: random.uniform() })).sort((a, b) => a.key - b.key);
  return {
    qIndptr: cumulate(rows.map(({ count }) => count)),
    starts: Int32Array.from(rows, ({ start }) => start),
    kvIndptr: cumulate(needed),
    kvFirst: Int32Array.from(first),
    kvPages: Int32Array.from(order.slice(0, total), ({ i }) => i),
  };
}

/** Sums of the counts before each place, and of all. */
export function cumulate(counts: number[]): Int32Array {
  const sums = new Int32Array(counts.length + 1);
  counts.forEach((count, i) => {
    sums[i + 1] = sums[i]! + count;
  });
  return sums;
}

/** The same step with the table as that of group 1 of two; group 0 has no pages. */
export function inSecondGroup(step: PagedStep): PagedStep & { groups: number } {
  const { kvIndptr, kvFirst } = step;
  return {
    qIndptr: step.qIndptr,
    starts: step.starts,
    kvIndptr: Int32Array.from([...kvIndptr.map(() => 0), ...kvIndptr]),
    kvFirst: Int32Array.from([...kvFirst.map(() => 0), ...kvFirst]),
    kvPages: step.kvPages,
    groups: 2,
  };
}

/** Row b of a step, or its tokens [from, from + count), as a step of their own. */
export function rowOfStep(step: PagedStep, b: number, from = 0, count: number = step.qIndptr[b + 1]! - step.qIndptr[b]!): PagedStep {
  return {
    qIndptr: Int32Array.of(0, count),
    starts: Int32Array.of(step.starts[b]! + from),
    kvIndptr: Int32Array.of(0, step.kvIndptr[b + 1]! - step.kvIndptr[b]!),
    kvFirst: step.kvFirst.slice(b, b + 1),
    kvPages: step.kvPages.slice(step.kvIndptr[b], step.kvIndptr[b + 1]),
  };
}

/** The place of an element in K and V: position `position` of row b. */
export function places(step: PagedStep, cache: LayerCache, b: number, head: number, position: number, d: number): { k: number; v: number } {
  const { headSize, pageSize } = cache;
  const page = step.kvPages[step.kvIndptr[b]! + Math.floor(position / pageSize) - step.kvFirst[b]!]!;
  const from = head * headSize * pageSize;
  const place = position % pageSize;
  return { k: page * cache.kStride + from + d * pageSize + place, v: page * cache.vStride + from + place * headSize + d };
}

/** A cache for the step's pages, filled with NaN. The pages of keys lie `gap` elements apart, those of values twice that. */
export function emptyCache(step: PagedStep, shape: CacheShape, gap = 0): LayerCache {
  const pageElements = shape.kvHeads * shape.headSize * shape.pageSize;
  const bytes = (stride: number) => new Uint8Array((step.kvPages.length + SPARE_PAGES) * stride * ELEMENT_BYTES[shape.type]).fill(0xff);
  const { type, kvHeads, headSize, pageSize } = shape;
  const [kStride, vStride] = [pageElements + gap, pageElements + 2 * gap];
  return { type, kvHeads, headSize, pageSize, k: bytes(kStride), v: bytes(vStride), kStride, vStride };
}

/** The elements of a cache's keys or values. */
export function elements(bytes: Uint8Array, type: CacheType): Float64Array {
  if (type === "F32") return Float64Array.from(new Float32Array(bytes.buffer));
  if (type === "F8_E4M3") return Float64Array.from(bytes, e4m3);
  const bits = new Uint16Array(bytes.buffer);
  if (type === "F16") return Float64Array.from(bits, fromHalf);
  return Float64Array.from(new Float32Array(Uint32Array.from(bits, (b) => b << 16).buffer));
}
