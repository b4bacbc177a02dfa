import { describe, expect, it } from "vitest";
import {
  emptyMatrix,
  expectClose,
  expectRefused,
  expectSameBits,
  GAPS,
  gathered,
  guarded,
  op,
  spreadPadded,
  VARIANTS,
  type Variant,
} from "../support/ops.ts";
import {
  type CacheShape,
  type CacheType,
  emptyCache,
  inSecondGroup,
  type LayerCache,
  type PagedRow,
  type PagedStep,
  pageRows,
  places,
  rowOfStep,
} from "../support/paged.ts";
import { e4m3, Random, roundElement } from "../support/reference.ts";

interface Case {
  shape: CacheShape;
  rows: PagedRow[];
  queryHeads: number;
  window: number;
  step: PagedStep;
  /** What each row's keys and values are, by position: [kvHeads, headSize]. */
  keys: Float32Array[][];
  values: Float32Array[][];
  cache: LayerCache;
  q: Float32Array;
  scale: number;
  softcap: number;
}

function makeCase(shape: CacheShape, queryHeads: number, window: number, rows: PagedRow[], seed: number): Case {
  const random = new Random(seed);
  const step = pageRows(rows, shape.pageSize, window, random);
  const history = () =>
    rows.map(({ start, count }) => Array.from({ length: start + count }, () => random.floats(shape.kvHeads * shape.headSize)));
  const [keys, values] = [history(), history()];
  const cache = emptyCache(step, shape, 32);
  rows.forEach(({ start, count }, b) => {
    // Written through qk_rope_append, which has its own test; pages before the window don't exist.
    const from = step.kvFirst[b]! * shape.pageSize;
    const flat = (all: Float32Array[][]) => Float32Array.from(all[b]!.slice(from).flatMap((token) => [...token]));
    const row = rowOfStep(step, b, from - start, start + count - from);
    const [k, v] = [flat(keys), flat(values)];
    const none = { frequencies: new Float32Array(0), pairs: 0, scale: 1 };
    op("qk_rope_append", VARIANTS[0]!, { step: row, cache, k, v, q: k.slice(), queryHeads: shape.kvHeads, ...none });
  });
  const q = random.floats(step.qIndptr[rows.length]! * queryHeads * shape.headSize);
  return { shape, rows, queryHeads, window, step, keys, values, cache, q, scale: 1 / Math.sqrt(shape.headSize), softcap: 0 };
}

/** The same with a beginning that all rows share: of the first pages those that a row still has are the first row's, and so are their keys. */
function sharing(c: Case, pages: number): Case {
  const { kvIndptr, kvFirst, kvPages } = c.step;
  const shared = kvPages.slice(0, pages - kvFirst[0]!);
  const common = (rows: Float32Array[][]) =>
    rows.map((row) => row.map((own, position) => (position < pages * c.shape.pageSize ? rows[0]![position]! : own)));
  const step = { ...c.step, kvPages: kvPages.slice() };
  c.rows.forEach((_, b) => {
    const gone = kvFirst[b]! - kvFirst[0]!;
    if (gone < shared.length) step.kvPages.set(shared.subarray(gone), kvIndptr[b]!);
  });
  return { ...c, step, keys: common(c.keys), values: common(c.values) };
}

function reference(c: Case): Float64Array {
  const { headSize: D, kvHeads, type } = c.shape;
  const out = new Float64Array(c.q.length);
  c.rows.forEach(({ start, count }, b) => {
    for (let i = 0; i < count * c.queryHeads; i++) {
      const [position, head] = [start + Math.floor(i / c.queryHeads), i % c.queryHeads];
      const at = (c.step.qIndptr[b]! * c.queryHeads + i) * D;
      const from = Math.floor(head / (c.queryHeads / kvHeads)) * D;
      const first = c.window > 0 ? Math.max(0, position - c.window + 1) : 0;
      const seen = c.keys[b]!.slice(first, position + 1);
      const scores = seen.map((key) => {
        let dot = 0;
        for (let d = 0; d < D; d++) dot += c.q[at + d]! * roundElement(type, key[from + d]!);
        const score = dot * c.scale;
        return c.softcap > 0 ? c.softcap * Math.tanh(score / c.softcap) : score;
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

/** The result for the step, or for another one with its own queries, over the same cache. */
function run(variant: Variant, c: Case, change: Partial<Pick<Case, "step" | "q">> = {}, gap = 0, padding = 0): Float32Array {
  const { cache, scale, softcap, queryHeads, window, step, q } = { ...c, ...change };
  const width = queryHeads * c.shape.headSize;
  const out = emptyMatrix(q.length / width + padding, width, 2 * gap);
  const args = {
    step: { ...inSecondGroup(step), padding: { rows: padding, tokens: padding } },
    group: 1,
    cache,
    scale,
    softcap,
    queryHeads,
    window,
  };
  op("attention", variant, { ...args, q: spreadPadded(q, width, gap, padding), out });
  return guarded(gathered(out, width).subarray(0, q.length));
}

/** Row b's tokens [from, from + count) as a step of their own, and where its queries begin. */
function part(c: Case, b: number, from: number, count: number) {
  const width = c.queryHeads * c.shape.headSize;
  const first = (c.step.qIndptr[b]! + from) * width;
  return { first, change: { step: rowOfStep(c.step, b, from, count), q: c.q.slice(first, first + count * width) } };
}

const ROWS: PagedRow[] = [
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
  ["F8_E4M3", 6, 2, 64, 16, 0],
  ["F8_E4M3", 8, 1, 80, 32, 20],
  ["F8_E4M3", 4, 4, 10, 16, 0],
  ["BF16", 2, 1, 34, 16, 150],
];

describe.each(CASES)(
  "attention %s, %d heads over %d of %d, pages of %d, window %d",
  (type, queryHeads, kvHeads, headSize, pageSize, window) => {
    const c = makeCase({ type, kvHeads, headSize, pageSize }, queryHeads, window, ROWS, headSize + window);

    it("is within rounding of float64, padded or not, and leaves the cache as it is", () => {
      const expected = reference(c);
      const [k, v] = [c.cache.k.slice(), c.cache.v.slice()];
      for (const variant of VARIANTS) {
        for (const gap of GAPS) {
          const out = run(variant, c, {}, gap);
          expectClose(out, expected, () => 3e-6);
          expectSameBits(run(variant, c, {}, gap, 3), out);
        }
      }
      expect(Buffer.compare(k, c.cache.k) || Buffer.compare(v, c.cache.v)).toBe(0);
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

describe.each([0.5, 5, 50])("attention with scores capped at %d", (softcap) => {
  it.each(CASES.slice(1, -1))(
    "%s, %d heads over %d of %d, pages of %d, window %d",
    (type, queryHeads, kvHeads, headSize, pageSize, window) => {
      const c = { ...makeCase({ type, kvHeads, headSize, pageSize }, queryHeads, window, ROWS, headSize), softcap };
      c.scale *= 8; // so that some are near the cap
      const expected = reference(c);
      for (const variant of VARIANTS) {
        const all = run(variant, c);
        // A score is off by some 2^-22 of the cap, and weights by as much.
        expectClose(all, expected, () => 5e-6 + softcap * 4e-7);
        const { first, change } = part(c, 1, 63, 2);
        expectSameBits(run({ isa: variant.isa, threads: 1 }, c, change), all.slice(first, first + change.q.length));
      }
    },
  );
});

/** Of several tasks, on two threads, and of one, which ends within a page; the first row's window begins before all others'. */
const SHARING: PagedRow[] = [150, 193, 200, 330, 160].flatMap((start) => [1, 1, 4, 9].map((count) => ({ start, count })));

describe.each([
  ["F16", 9, 3, 64, 16, 0, 0],
  ["F32", 2, 2, 80, 48, 0, 0],
  ["BF16", 80, 1, 34, 16, 0, 5],
  ["F8_E4M3", 6, 2, 16, 16, 100, 0],
] as [...(typeof CASES)[number], number][])(
  "attention of rows that share pages, %s, %d heads over %d of %d, pages of %d, window %d, capped at %d",
  (type, queryHeads, kvHeads, headSize, pageSize, window, softcap) => {
    const own = makeCase({ type, kvHeads, headSize, pageSize }, queryHeads, window, SHARING, headSize);
    const c = { ...sharing(own, 144 / pageSize), softcap };

    it("is within rounding of float64, padded or not, and has the bits of each row alone", () => {
      const expected = reference(c);
      for (const variant of VARIANTS) {
        const out = run(variant, c);
        expectClose(out, expected, () => 5e-6 + softcap * 4e-7);
        expectSameBits(run(variant, c, {}, 0, 3), out);
      }
      for (const { isa } of VARIANTS.filter(({ threads }) => threads === 1)) {
        for (const threads of [1, 2]) {
          const together = run({ isa, threads }, c);
          for (const [b, { count }] of SHARING.entries()) {
            const { first, change } = part(c, b, 0, count);
            expectSameBits(run({ isa, threads: 1 }, c, change), together.slice(first, first + change.q.length));
          }
        }
      }
    });
  },
);

describe("attention", () => {
  it("keeps what is not finite in a later token's value from the queries before it", () => {
    const c = makeCase({ type: "F32", kvHeads: 1, headSize: 16, pageSize: 16 }, 2, 0, [{ start: 0, count: 40 }], 5);
    new Float32Array(c.cache.v.buffer)[places(c.step, c.cache, 0, 0, 20, 3).v] = Number.POSITIVE_INFINITY;
    for (const variant of VARIANTS) {
      const out = run(variant, c);
      expect(out.subarray(0, 20 * 32).every(Number.isFinite)).toBe(true);
      expect(out[20 * 32 + 3]).toBe(Number.POSITIVE_INFINITY);
    }
  });

  it("reads each number of F8_E4M3, and NaN: one key weighs 1", () => {
    const c = makeCase({ type: "F8_E4M3", kvHeads: 1, headSize: 256, pageSize: 16 }, 1, 0, [{ start: 0, count: 1 }], 5);
    const numbers = Float64Array.from({ length: 256 }, (_, bits) => e4m3(bits));
    for (let bits = 0; bits < 256; bits++) c.cache.v[places(c.step, c.cache, 0, 0, 0, bits).v] = bits;
    for (const variant of VARIANTS) expect(Float64Array.from(run(variant, c), (x) => x + 0)).toEqual(numbers.map((x) => x + 0));
    for (let d = 0; d < 256; d++) c.cache.k[places(c.step, c.cache, 0, 0, 0, d).k] = d === 9 ? 0xff : 0;
    for (const variant of VARIANTS) expect(run(variant, c).every(Number.isNaN)).toBe(true);
  });

  it("sums thousands of keys as exactly as few", () => {
    const c = makeCase({ type: "F16", kvHeads: 2, headSize: 64, pageSize: 64 }, 4, 0, [{ start: 3000, count: 2 }], 6);
    const expected = reference(c);
    for (const variant of VARIANTS) expectClose(run(variant, c), expected, () => 1e-6);
  });

  it("gives nothing for a row without tokens, and for no rows", () => {
    const c = makeCase({ type: "F16", kvHeads: 2, headSize: 16, pageSize: 16 }, 4, 0, ROWS.slice(0, 2), 8);
    const nothing = makeCase(c.shape, 4, 0, [{ start: 0, count: 0 }], 9);
    for (const variant of VARIANTS) {
      for (const padding of [0, 2]) {
        expect(run(variant, nothing, {}, 3, padding).length).toBe(0);
        expect(run(variant, makeCase(c.shape, 4, 0, [], 9), {}, 3, padding).length).toBe(0);
      }
    }
  });

  it("refuses pages that do not cover a row, and pages that do not exist", () => {
    const c = makeCase({ type: "F32", kvHeads: 1, headSize: 16, pageSize: 16 }, 2, 0, [{ start: 30, count: 4 }], 7);
    const { cache, step, queryHeads, q, scale, window } = c;
    const args = { cache, step, queryHeads, q, scale, window, out: new Float32Array(q.length) };
    expect(() => op("attention", VARIANTS[0]!, args)).not.toThrow();
    const refused = (change: object, message?: RegExp) => expectRefused("attention", { ...args, ...change }, message);
    refused({ step: { ...step, kvIndptr: Int32Array.of(0, 2) } }, /cover/);
    refused({ step: { ...step, kvFirst: Int32Array.of(1) } }, /cover/);
    refused({ step: { ...step, starts: Int32Array.of(-1) } }, /starts/);
    refused({ step: { ...step, qIndptr: Int32Array.of(0, 1 << 30) }, q: new Float32Array(0) }, /qIndptr/);
    refused({ step: { ...step, qIndptr: Int32Array.of(0, -4) } }, /qIndptr/);
    refused({ step: { ...step, padding: { tokens: 1 } } }, /q has/);
    refused({ step: { ...step, kvPages: Int32Array.of(0, 1, 99) } }, /kvPages/);
    refused({ step: { ...step, kvPages: Int32Array.of(0, 1, -1) } }, /kvPages/);
    refused({ cache: { ...cache, kvHeads: 3 } });
    refused({ window: -1 }, /window is -1/);
  });
});
