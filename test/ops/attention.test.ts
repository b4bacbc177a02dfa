import { describe, expect, it } from "vitest";
import { expectClose, expectSameBits, op, poisoned, VARIANTS } from "../support/ops.ts";
import { type CacheShape, type CacheType, emptyCache, type PagedRows, pageRows, places } from "../support/paged.ts";
import { Random, roundElement } from "../support/reference.ts";

interface Case {
  shape: CacheShape;
  rows: { start: number; count: number }[];
  queryHeads: number;
  window: number;
  paged: PagedRows;
  /** What each row's keys and values are, by position: [kvHeads, headSize]. */
  keys: Float32Array[][];
  values: Float32Array[][];
  kCache: Uint8Array;
  vCache: Uint8Array;
  q: Float32Array;
  scale: number;
}

function makeCase(shape: CacheShape, queryHeads: number, window: number, rows: Case["rows"], seed: number): Case {
  const random = new Random(seed);
  const paged = pageRows(rows, shape.pageSize, window, random);
  const history = () =>
    rows.map(({ start, count }) => Array.from({ length: start + count }, () => random.floats(shape.kvHeads * shape.headSize)));
  const [keys, values] = [history(), history()];
  const [kCache, vCache] = [emptyCache(paged, shape), emptyCache(paged, shape)];
  rows.forEach(({ start, count }, b) => {
    // Written through append_kv, which has its own test; pages before the window don't exist.
    const from = paged.pageFirst[b]! * shape.pageSize;
    const flat = (all: Float32Array[][]) => Float32Array.from(all[b]!.slice(from).flatMap((token) => [...token]));
    const row = { indptr: Int32Array.of(0, start + count - from), starts: Int32Array.of(from), pageFirst: paged.pageFirst.slice(b, b + 1) };
    const pages = { pageIndptr: paged.pageIndptr.slice(b, b + 2), pages: paged.pages };
    op("append_kv", VARIANTS[0]!, { k: flat(keys), v: flat(values), ...row, ...pages, ...shape, kCache, vCache });
  });
  const q = random.floats(paged.indptr[rows.length]! * queryHeads * shape.headSize);
  return { shape, rows, queryHeads, window, paged, keys, values, kCache, vCache, q, scale: 1 / Math.sqrt(shape.headSize) };
}

function reference(c: Case): Float64Array {
  const { headSize: D, kvHeads, type } = c.shape;
  const out = new Float64Array(c.q.length);
  c.rows.forEach(({ start, count }, b) => {
    for (let i = 0; i < count * c.queryHeads; i++) {
      const [position, head] = [start + Math.floor(i / c.queryHeads), i % c.queryHeads];
      const at = (c.paged.indptr[b]! * c.queryHeads + i) * D;
      const from = Math.floor(head / (c.queryHeads / kvHeads)) * D;
      const first = c.window > 0 ? Math.max(0, position - c.window + 1) : 0;
      const seen = c.keys[b]!.slice(first, position + 1);
      const scores = seen.map((key) => {
        let dot = 0;
        for (let d = 0; d < D; d++) dot += c.q[at + d]! * roundElement(type, key[from + d]!);
        return dot * c.scale;
      });
      const largest = Math.max(...scores);
      const weights = scores.map((s) => Math.exp(s - largest));
      const total = weights.reduce((sum, w) => sum + w, 0);
      weights.forEach((w, j) => {
        for (let d = 0; d < D; d++) out[at + d]! += (w / total) * roundElement(type, c.values[b]![first + j]![from + d]!);
      });
    }
  });
  return out;
}

function run(variant: (typeof VARIANTS)[number], c: Case, change: Partial<PagedRows & { q: Float32Array }> = {}): Float32Array {
  const out = poisoned((change.q ?? c.q).length);
  const { kCache, vCache, q, scale, queryHeads, window } = c;
  op("attention", variant, { out, kCache, vCache, q, scale, queryHeads, window, ...c.shape, ...c.paged, ...change });
  return out;
}

/** Row b's tokens [from, from + count) as a step of their own. */
function part(c: Case, b: number, from: number, count: number) {
  const { start } = c.rows[b]!;
  const width = c.queryHeads * c.shape.headSize;
  const first = (c.paged.indptr[b]! + from) * width;
  return {
    first,
    change: {
      indptr: Int32Array.of(0, count),
      starts: Int32Array.of(start + from),
      pageIndptr: c.paged.pageIndptr.slice(b, b + 2),
      pageFirst: c.paged.pageFirst.slice(b, b + 1),
      q: c.q.slice(first, first + count * width),
    },
  };
}

const ROWS = [
  { start: 0, count: 1 },
  { start: 0, count: 70 },
  { start: 15, count: 1 },
  { start: 127, count: 2 },
  { start: 200, count: 9 },
];

const CASES: [type: CacheType, queryHeads: number, kvHeads: number, headSize: number, pageSize: number, window: number][] = [
  ["F32", 1, 1, 8, 16, 0],
  ["F32", 6, 2, 64, 32, 0],
  ["F16", 9, 3, 64, 16, 0],
  ["F16", 4, 4, 10, 16, 0],
  ["BF16", 8, 1, 96, 48, 0],
  ["F16", 2, 2, 80, 64, 0],
  ["F32", 4, 2, 256, 16, 0],
  ["F32", 80, 1, 16, 16, 0],
  ["F32", 6, 2, 16, 16, 1],
  ["F32", 6, 2, 16, 16, 20],
  ["F16", 4, 1, 128, 32, 64],
  ["BF16", 2, 1, 34, 16, 150],
];

describe.each(CASES)(
  "attention %s, %d heads over %d of %d, pages of %d, window %d",
  (type, queryHeads, kvHeads, headSize, pageSize, window) => {
    const c = makeCase({ type, kvHeads, headSize, pageSize }, queryHeads, window, ROWS, headSize + window);

    it("is within rounding of float64", () => {
      const expected = reference(c);
      for (const variant of VARIANTS) expectClose(run(variant, c), expected, () => 3e-6);
    });

    it("gives a query the same bits alone, in a chunk, among others and on two threads", () => {
      for (const { isa } of VARIANTS.filter(({ threads }) => threads === 1)) {
        const all = run({ isa, threads: 2 }, c);
        for (const [b, from, count] of [
          [0, 0, 1],
          [1, 0, 7],
          [1, 63, 2],
          [1, 69, 1],
          [2, 0, 1],
          [4, 3, 5],
        ] as const) {
          const { first, change } = part(c, b, from, count);
          expectSameBits(run({ isa, threads: 1 }, c, change), all.slice(first, first + change.q.length));
        }
      }
    });
  },
);

describe("attention", () => {
  it("keeps what is not finite in a later token's value from the queries before it", () => {
    const c = makeCase({ type: "F32", kvHeads: 1, headSize: 16, pageSize: 16 }, 2, 0, [{ start: 0, count: 40 }], 5);
    new Float32Array(c.vCache.buffer)[places(c.paged, c.shape, 0, 0, 20, 3).v] = Number.POSITIVE_INFINITY;
    for (const variant of VARIANTS) {
      const out = run(variant, c);
      expect(out.subarray(0, 20 * 32).every(Number.isFinite)).toBe(true);
      expect(out[20 * 32 + 3]).toBe(Number.POSITIVE_INFINITY);
    }
  });

  it("sums thousands of keys as exactly as few", () => {
    const c = makeCase({ type: "F16", kvHeads: 2, headSize: 64, pageSize: 64 }, 4, 0, [{ start: 3000, count: 2 }], 6);
    const expected = reference(c);
    for (const variant of VARIANTS) expectClose(run(variant, c), expected, () => 1e-6);
  });

  it("refuses pages that do not cover a row, and pages that do not exist", () => {
    const c = makeCase({ type: "F32", kvHeads: 1, headSize: 16, pageSize: 16 }, 2, 0, [{ start: 30, count: 4 }], 7);
    const refused = (change: Parameters<typeof run>[2]) =>
      expect(() => run(VARIANTS[0]!, c, change)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    refused({ pageIndptr: Int32Array.of(0, 2) });
    refused({ pageFirst: Int32Array.of(1) });
    refused({ starts: Int32Array.of(-1) });
    refused({ indptr: Int32Array.of(0, 1 << 30), q: new Float32Array(0) });
    refused({ pages: Int32Array.of(0, 1, 99) });
    refused({ pages: Int32Array.of(0, 1, -1) });
  });
});
