import { describe, expect, it } from "vitest";
import {
  expectClose,
  expectRefused,
  expectSameBits,
  GAPS,
  gathered,
  guarded,
  op,
  poisoned,
  spreadPadded,
  VARIANTS,
  type Variant,
} from "../support/ops.ts";
import { type CacheShape, type CacheType, elements, emptyCache, inSecondGroup, type PagedRow, pageRows, places } from "../support/paged.ts";
import { e4m3, normReference, Random, roundElement } from "../support/reference.ts";

const EPSILON = 1e-6;

interface Case {
  shape: CacheShape;
  queryHeads: number;
  rows: PagedRow[];
  q: Float32Array;
  k: Float32Array;
  v: Float32Array;
  qNorm?: Float32Array | undefined;
  kNorm?: Float32Array | undefined;
  pairs: number;
  interleaved: boolean;
  norm?: "rms" | "layer";
  eachHead?: boolean;
  growth?: number;
  context?: number;
}

const FREQUENCY_BASE = 10_000;
const SCALE = 1.2;
const frequencies = (pairs: number) => Float32Array.from({ length: pairs }, (_, i) => FREQUENCY_BASE ** (-i / pairs));

function makeCase(shape: CacheShape, queryHeads: number, rows: PagedRow[], pairs = 0, interleaved = false): Case {
  const random = new Random(shape.headSize + pairs);
  const tokens = rows.reduce((sum, { count }) => sum + count, 0);
  const [q, k, v] = [queryHeads, shape.kvHeads, shape.kvHeads].map((heads) => random.floats(tokens * heads * shape.headSize));
  return { shape, queryHeads, rows, q: q!, k: k!, v: v!, pairs, interleaved };
}

/** What the op leaves in q, and in the pages in the order of k and v; it fails where something else in the pages was written. */
function run(variant: Variant, c: Case, gap = 0, padding = 0) {
  const { shape, queryHeads, rows, qNorm, kNorm, norm, eachHead, growth, context, pairs, interleaved } = c;
  const paged = pageRows(rows, shape.pageSize, 1, new Random(rows.length));
  const cache = emptyCache(paged, shape, gap);
  const [qWidth, kvWidth] = [queryHeads * shape.headSize, shape.kvHeads * shape.headSize];
  const q = spreadPadded(c.q, qWidth, gap, padding);
  op("qk_rope_append", variant, {
    step: { ...inSecondGroup(paged), padding: { rows: padding, tokens: padding } },
    group: 1,
    cache,
    queryHeads,
    q,
    k: spreadPadded(c.k, kvWidth, 2 * gap, padding),
    v: spreadPadded(c.v, kvWidth, 3 * gap, padding),
    qNorm,
    kNorm,
    norm,
    eachHead,
    growth,
    context,
    epsilon: EPSILON,
    frequencies: frequencies(pairs),
    pairs,
    scale: SCALE,
    interleaved,
  });
  const pages = { k: elements(cache.k, shape.type), v: elements(cache.v, shape.type) };
  const written = { k: poisoned(c.k.length), v: poisoned(c.v.length) };
  rows.forEach(({ start, count }, b) => {
    for (let i = 0; i < count * kvWidth; i++) {
      const at = places(paged, cache, b, Math.floor((i % kvWidth) / shape.headSize), start + Math.floor(i / kvWidth), i % shape.headSize);
      const token = paged.qIndptr[b]! * kvWidth + i;
      [written.k[token], written.v[token]] = [pages.k[at.k]!, pages.v[at.v]!];
      pages.k[at.k] = pages.v[at.v] = Number.NaN;
    }
  });
  expect(pages.k.every(Number.isNaN) && pages.v.every(Number.isNaN)).toBe(true);
  return { q: guarded(gathered(q, qWidth).subarray(0, c.q.length)), k: written.k, v: written.v };
}

/** The values in a cache's type; also in the sign of zero. */
function expectRounded(written: Float32Array, values: Float32Array, type: CacheType): void {
  expect(written.findIndex((value, i) => !Object.is(value, roundElement(type, values[i]!)))).toBe(-1);
}

/** The last token of a case, as a step of its own. */
function lastToken(c: Case): Case {
  const { start, count } = c.rows.at(-1)!;
  const last = (values: Float32Array, heads: number) => values.slice(values.length - heads * c.shape.headSize);
  const [q, k, v] = [last(c.q, c.queryHeads), last(c.k, c.shape.kvHeads), last(c.v, c.shape.kvHeads)];
  return { ...c, rows: [{ start: start + count - 1, count: 1 }], q, k, v };
}

function expectSameAlone(variant: Variant, c: Case, all: ReturnType<typeof run>): void {
  const alone = run({ isa: variant.isa, threads: 1 }, lastToken(c));
  for (const name of ["q", "k", "v"] as const) expectSameBits(alone[name], all[name].slice(all[name].length - alone[name].length));
}

const ROWS: PagedRow[] = [
  { start: 0, count: 70 },
  { start: 15, count: 1 },
  { start: 31, count: 3 },
  { start: 100, count: 17 },
];

const SHAPES: CacheShape[] = [
  { type: "F32", kvHeads: 1, headSize: 8, pageSize: 16 },
  { type: "F16", kvHeads: 3, headSize: 64, pageSize: 32 },
  { type: "F16", kvHeads: 2, headSize: 10, pageSize: 16 },
  { type: "BF16", kvHeads: 2, headSize: 80, pageSize: 48 },
  { type: "F8_E4M3", kvHeads: 2, headSize: 64, pageSize: 16 },
  { type: "F8_E4M3", kvHeads: 3, headSize: 10, pageSize: 32 },
];

describe.each(SHAPES)("qk_rope_append to $type, $kvHeads heads of $headSize, pages of $pageSize", (shape) => {
  it("writes each key and value to its place, rounded to nearest even, and nothing else", () => {
    const c = makeCase(shape, 2, ROWS);
    c.k = c.k.map((x) => 3 * x);
    c.v = c.v.map((x) => 1e-6 * x); // subnormal as float16
    c.k.set([65_519, 65_520, -1e10, 0, 2 ** -25, 1 + 2 ** -11]);
    for (const variant of VARIANTS) {
      for (const gap of GAPS) {
        for (const padding of [0, 3]) {
          const { q, k, v } = run(variant, c, gap, padding);
          expectSameBits(q, c.q);
          expectRounded(k, c.k, shape.type);
          expectRounded(v, c.v, shape.type);
        }
      }
    }
  });

  it.each([false, true])("norms, then rotates, then writes: as if done one by one (interleaved %s)", (interleaved) => {
    const random = new Random(5);
    const [qNorm, kNorm] = [random.floats(shape.headSize), random.floats(shape.headSize)];
    const plain = makeCase({ ...shape, type: "F32" }, 3 * shape.kvHeads, ROWS);
    const pairs = shape.headSize / 2 - 1;
    for (const variant of VARIANTS) {
      const normed = run(variant, { ...plain, qNorm, kNorm });
      const rotated = run(variant, { ...plain, q: normed.q, k: normed.k, pairs, interleaved });
      const fused = { ...plain, shape, qNorm, kNorm, pairs, interleaved };
      const all = run(variant, fused);
      expectSameBits(all.q, rotated.q);
      expectRounded(all.k, rotated.k, shape.type);
      expectSameAlone(variant, fused, all);
    }
  });
});

describe("qk_rope_append to F8_E4M3", () => {
  it("writes every number of the type as it is, between two the nearer, the even one if neither is, at most 448, and NaN", () => {
    const numbers = Array.from({ length: 127 }, (_, bits) => e4m3(bits));
    const middles = numbers.slice(1).map((number, i) => (number + numbers[i]!) / 2);
    const around = middles.flatMap((middle) => [middle, middle * (1 - 2 ** -24), middle * (1 + 2 ** -23)]);
    const large = [448.001, 463.9, 464, 464.1, 480, 512, 65_536, 3e38, Number.POSITIVE_INFINITY, Number.NaN, 1e-30, 1e-40, 2 ** -11];
    const all = [...numbers, ...around, ...large].flatMap((number) => [number, -number]);
    const c = makeCase({ type: "F8_E4M3", kvHeads: 1, headSize: 16, pageSize: 16 }, 1, [{ start: 3, count: Math.ceil(all.length / 16) }]);
    c.k.set(all);
    c.v.set(all.toReversed());
    for (const variant of VARIANTS) {
      const { k, v } = run(variant, c);
      expectRounded(k, c.k, "F8_E4M3");
      expectRounded(v, c.v, "F8_E4M3");
    }
  });
});

describe.each([
  [0, 8],
  [1, 1],
  [3, 10],
  [5, 64],
  [2, 577],
  [200, 128],
])("qk_rope_append of %d tokens norms heads of %d", (count, headSize) => {
  const c = makeCase({ type: "F32", kvHeads: 2, headSize, pageSize: 16 }, 3, [{ start: 9, count }]);
  const random = new Random(headSize);
  const [qNorm, kNorm] = [random.floats(headSize), random.floats(headSize)];

  it("where there are weights", () => {
    const [q, k] = [normReference(c.q, qNorm, EPSILON), normReference(c.k, kNorm, EPSILON)];
    for (const variant of VARIANTS) {
      const both = run(variant, { ...c, qNorm, kNorm });
      expectClose(both.q, q, (i) => 1e-6 * Math.abs(q[i]!) + 1e-30);
      expectClose(both.k, k, (i) => 1e-6 * Math.abs(k[i]!) + 1e-30);
      const [onlyQ, onlyK] = [run(variant, { ...c, qNorm }), run(variant, { ...c, kNorm })];
      for (const [a, b] of [
        [onlyQ.q, both.q],
        [onlyQ.k, c.k],
        [onlyK.q, c.q],
        [onlyK.k, both.k],
      ]) {
        expectSameBits(a!, b!);
      }
      if (count > 0) expectSameAlone(variant, { ...c, qNorm, kNorm }, both);
    }
  });
});

describe.each([8, 64, 80])("qk_rope_append, heads of %d", (headSize) => {
  const c = makeCase({ type: "F32", kvHeads: 2, headSize, pageSize: 16 }, 3, [
    { start: 0, count: 5 },
    { start: 90, count: 40 },
  ]);
  const random = new Random(headSize);

  it("norms each head by its own weights, as LayerNorm", () => {
    const [qNorm, kNorm] = [random.floats(3 * headSize), random.floats(2 * headSize)];
    const expected = (x: Float32Array, weights: Float32Array): Float64Array => {
      const y = new Float64Array(x.length);
      for (let at = 0; at < x.length; at += headSize) {
        const weight = weights.slice(at % weights.length, (at % weights.length) + headSize);
        y.set(normReference(x.slice(at, at + headSize), weight, EPSILON, "layer"), at);
      }
      return y;
    };
    for (const variant of VARIANTS) {
      const normed = { ...c, qNorm, kNorm, eachHead: true, norm: "layer" as const };
      const all = run(variant, normed);
      expectClose(all.q, expected(c.q, qNorm), () => 3e-6);
      expectClose(all.k, expected(c.k, kNorm), () => 3e-6);
      expectSameAlone(variant, normed, all);
    }
  });

  it("lets queries grow with their position, after the rope", () => {
    const positions = [0, 1, 2, 3, 4, ...Array.from({ length: 40 }, (_, i) => 90 + i)];
    const grown = { ...c, pairs: headSize / 2, growth: 0.25, context: 30 };
    for (const variant of VARIANTS) {
      const [plain, all] = [run(variant, { ...grown, growth: 0 }), run(variant, grown)];
      const factor = (i: number) => 1 + 0.25 * Math.log(1 + Math.floor(positions[Math.floor(i / (3 * headSize))]! / 30));
      expectClose(
        all.q,
        Float64Array.from(plain.q, (v, i) => v * factor(i)),
        (i) => 2e-7 * Math.abs(all.q[i]!) + 1e-30,
      );
      expectSameBits(all.q.slice(0, 5 * 3 * headSize), plain.q.slice(0, 5 * 3 * headSize));
      expectSameBits(all.k, plain.k);
      expectSameAlone(variant, grown, all);
    }
  });
});

/** The rotation of heads of `size` in float64, and the size of each rotated vector; dimensions beyond the pairs are exact. */
function rotationReference(x: Float32Array, positions: number[], size: number, pairs: number, interleaved: boolean) {
  const y = Float64Array.from(x);
  const norm = new Float64Array(x.length);
  const headsOfToken = x.length / size / positions.length;
  for (let head = 0; head * size < x.length; head++) {
    for (let i = 0; i < pairs; i++) {
      const [a, b] = interleaved ? [head * size + 2 * i, head * size + 2 * i + 1] : [head * size + i, head * size + pairs + i];
      const angle = Math.fround(positions[Math.floor(head / headsOfToken)]! * frequencies(pairs)[i]!);
      y[a] = (x[a]! * Math.cos(angle) - x[b]! * Math.sin(angle)) * SCALE;
      y[b] = (x[a]! * Math.sin(angle) + x[b]! * Math.cos(angle)) * SCALE;
      norm[a] = norm[b] = Math.hypot(x[a]!, x[b]!);
    }
  }
  return { y, tolerance: (i: number) => 3e-7 * norm[i]! + 1e-37 };
}

describe.each([false, true])("qk_rope_append rotates, interleaved %s", (interleaved) => {
  it.each([
    { count: 0, heads: 1, kvHeads: 1, headSize: 8, pairs: 4 },
    { count: 1, heads: 1, kvHeads: 1, headSize: 2, pairs: 1 },
    { count: 3, heads: 5, kvHeads: 1, headSize: 10, pairs: 5 },
    { count: 2, heads: 3, kvHeads: 3, headSize: 96, pairs: 24 },
    { count: 4, heads: 2, kvHeads: 2, headSize: 256, pairs: 128 },
    { count: 70, heads: 9, kvHeads: 3, headSize: 64, pairs: 32 },
  ])("$count tokens, $heads and $kvHeads heads of $headSize, $pairs pairs", ({ count, heads, kvHeads, headSize, pairs }) => {
    const random = new Random(headSize);
    const positions = Array.from({ length: count }, (_, t) => [0, 1, 131_071, 1_000_000][t] ?? random.int(200_000));
    const rows = positions.map((start) => ({ start, count: 1 }));
    const c = makeCase({ type: "F32", kvHeads, headSize, pageSize: 16 }, heads, rows, pairs, interleaved);
    const q = rotationReference(c.q, positions, headSize, pairs, interleaved);
    const k = rotationReference(c.k, positions, headSize, pairs, interleaved);
    for (const variant of VARIANTS) {
      for (const gap of GAPS) {
        const rotated = run(variant, c, gap);
        expectClose(rotated.q, q.y, q.tolerance);
        expectClose(rotated.k, k.y, k.tolerance);
        expectSameBits(rotated.v, c.v);
        if (count > 0) expectSameAlone(variant, c, rotated);
      }
    }
  });
});

it("qk_rope_append refuses pages that do not cover a token, and sizes that contradict each other", () => {
  const shape: CacheShape = { type: "F16", kvHeads: 2, headSize: 8, pageSize: 16 };
  const paged = pageRows([{ start: 30, count: 4 }], 16, 0, new Random(1));
  const [q, k] = [new Float32Array(4 * 3 * 8), new Float32Array(4 * 2 * 8)];
  const cache = emptyCache(paged, shape);
  const args = { step: paged, cache, queryHeads: 3, q, k, v: k, frequencies: new Float32Array(4), pairs: 4, scale: 1, epsilon: 0 };
  expect(() => op("qk_rope_append", VARIANTS[0]!, args)).not.toThrow();
  const refused = (change: object, message: RegExp) => expectRefused("qk_rope_append", { ...args, ...change }, message);
  refused({ step: { ...paged, kvIndptr: Int32Array.of(0, 2) } }, /cover/);
  refused({ step: { ...paged, kvFirst: Int32Array.of(2) } }, /cover/);
  refused({ step: { ...paged, kvPages: Int32Array.of(0, 1, 99) } }, /kvPages has .*99/);
  refused({ step: { ...paged, groups: 0, kvIndptr: undefined, kvFirst: undefined } }, /group is 0/);
  refused({ group: 1 }, /group is 1/);
  refused({ pairs: 5, frequencies: new Float32Array(5) }, /pairs is 5/);
  refused({ frequencies: new Float32Array(3) }, /frequencies has 3 elements/);
  refused({ v: new Float32Array(1) }, /v has 1 elements/);
  refused({ kNorm: new Float32Array(7) }, /kNorm has 7 elements/);
  refused({ cache: { ...cache, pageSize: 24 } }, /pageSize is 24/);
  refused({ cache: { ...cache, kStride: 255 } }, /kStride is 255/);
  refused({ cache: { ...cache, type: "Q8_0" } }, /type is Q8_0/);
  refused({ cache: { ...cache, k: cache.k.subarray(1) } }, /k is not aligned/);
});
