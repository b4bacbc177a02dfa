import { describe, it } from "vitest";
import { expectClose, expectSameBits, op, poisoned, VARIANTS } from "../support/ops.ts";
import { Random } from "../support/reference.ts";

const SHAPES = [
  { count: 0, heads: 1, headSize: 8, pairs: 4 },
  { count: 1, heads: 1, headSize: 2, pairs: 1 },
  { count: 3, heads: 5, headSize: 10, pairs: 5 },
  { count: 2, heads: 3, headSize: 96, pairs: 24 },
  { count: 4, heads: 2, headSize: 256, pairs: 128 },
  { count: 70, heads: 9, headSize: 64, pairs: 32 },
];

describe.each([false, true])("rope, interleaved %s", (interleaved) => {
  it.each(SHAPES)("$count tokens, $heads heads of $headSize, $pairs pairs", ({ count, heads, headSize, pairs }) => {
    const random = new Random(headSize);
    const x = random.floats(count * heads * headSize);
    const positions = Int32Array.from({ length: count }, (_, t) => [0, 1, 131_071, 1_000_000][t] ?? random.int(200_000));
    const frequencies = Float32Array.from({ length: pairs }, (_, i) => 10_000 ** (-i / pairs));
    const scale = 1.2;
    const expected = Float64Array.from(x);
    const size = new Float64Array(x.length).fill(0); // of the rotated vector; dimensions beyond the pairs are exact
    for (let t = 0; t < count; t++) {
      for (let h = 0; h < heads; h++) {
        for (let i = 0; i < pairs; i++) {
          const head = (t * heads + h) * headSize;
          const [a, b] = interleaved ? [head + 2 * i, head + 2 * i + 1] : [head + i, head + pairs + i];
          const angle = Math.fround(positions[t]! * frequencies[i]!);
          expected[a] = (x[a]! * Math.cos(angle) - x[b]! * Math.sin(angle)) * scale;
          expected[b] = (x[a]! * Math.sin(angle) + x[b]! * Math.cos(angle)) * scale;
          size[a] = size[b] = Math.hypot(x[a]!, x[b]!);
        }
      }
    }
    for (const variant of VARIANTS) {
      const y = poisoned(x.length);
      y.set(x);
      op("rope", variant, { x: y, positions, frequencies, count, heads, headSize, pairs, scale, interleaved });
      expectClose(y, expected, (i) => 3e-7 * size[i]! + 1e-37);
      if (count === 0) continue;
      const last = x.slice(x.length - heads * headSize);
      op(
        "rope",
        { ...variant, threads: 1 },
        { x: last, positions: positions.slice(-1), frequencies, count: 1, heads, headSize, pairs, scale, interleaved },
      );
      expectSameBits(last, y.slice(x.length - heads * headSize));
    }
  });
});
