import { expect, it } from "vitest";
import { op, VARIANTS } from "../support/ops.ts";
import { type CacheShape, emptyCache, pageRows, places } from "../support/paged.ts";
import { fromHalf, Random, roundElement } from "../support/reference.ts";

function elements(cache: Uint8Array, type: string): Float64Array {
  if (type === "F32") return Float64Array.from(new Float32Array(cache.buffer));
  const bits = new Uint16Array(cache.buffer);
  if (type === "F16") return Float64Array.from(bits, fromHalf);
  return Float64Array.from(new Float32Array(Uint32Array.from(bits, (b) => b << 16).buffer));
}

/** Also in the sign of zero; NaN, which fills what is not written, equals itself. */
function firstDifference(a: Float64Array, b: Float64Array): number {
  return a.findIndex((value, i) => !Object.is(value, b[i]));
}

const SHAPES: CacheShape[] = [
  { type: "F32", kvHeads: 1, headSize: 8, pageSize: 16 },
  { type: "F16", kvHeads: 3, headSize: 64, pageSize: 32 },
  { type: "F16", kvHeads: 2, headSize: 10, pageSize: 16 },
  { type: "BF16", kvHeads: 2, headSize: 80, pageSize: 48 },
];

it.each(SHAPES)("append_kv $type, $kvHeads heads of $headSize, pages of $pageSize", (shape) => {
  const random = new Random(shape.headSize);
  const rows = [
    { start: 0, count: 70 },
    { start: 15, count: 1 },
    { start: 31, count: 3 },
    { start: 100, count: 17 },
  ];
  const paged = pageRows(rows, shape.pageSize, 1, random);
  const tokens = paged.indptr[rows.length]!;
  const width = shape.kvHeads * shape.headSize;
  const k = random.floats(tokens * width, 3);
  const v = random.floats(tokens * width, 1e-6); // subnormal as float16
  k.set([65_519, 65_520, -1e10, 0, 2 ** -25, 1 + 2 ** -11]);
  const expected = { k: elements(emptyCache(paged, shape), shape.type), v: elements(emptyCache(paged, shape), shape.type) };
  rows.forEach(({ start, count }, b) => {
    for (let i = 0; i < count * width; i++) {
      const at = places(paged, shape, b, Math.floor((i % width) / shape.headSize), start + Math.floor(i / width), i % shape.headSize);
      expected.k[at.k] = roundElement(shape.type, k[paged.indptr[b]! * width + i]!);
      expected.v[at.v] = roundElement(shape.type, v[paged.indptr[b]! * width + i]!);
    }
  });
  for (const variant of VARIANTS) {
    const cache = { kCache: emptyCache(paged, shape), vCache: emptyCache(paged, shape) };
    op("append_kv", variant, { k, v, ...paged, ...shape, ...cache });
    expect(firstDifference(elements(cache.kCache, shape.type), expected.k)).toBe(-1);
    expect(firstDifference(elements(cache.vCache, shape.type), expected.v)).toBe(-1);
  }
});
