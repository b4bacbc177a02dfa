import { expect, test } from "vitest";
import { joinCacheGroup } from "../../../lib/model/cache-groups.ts";
import type { CachePart } from "../../../lib/model/kinds.ts";
import type { CacheGroup } from "../../../lib/model/spec.ts";

const parts = (...elements: number[]): CachePart[] => elements.map((count) => ({ elements: count, type: "kv" }));

test("layers share a group where kind, window and parts are equal", () => {
  const groups: CacheGroup[] = [];
  const layers: [window: number, parts: CachePart[]][] = [
    [0, parts(8, 8)],
    [16, parts(8, 8)],
    [0, parts(8, 8)],
    [0, parts(16)],
    [32, parts(8, 8)],
    [16, parts(8, 8)],
    [0, [{ elements: 16, type: "f32" }]],
    [0, parts(16)],
  ];
  expect(layers.map(([window, own], layer) => joinCacheGroup(groups, layer, window, own))).toEqual([0, 1, 0, 2, 3, 1, 4, 2]);
  expect(groups).toEqual([
    { kind: "all", window: 0, layers: [0, 2], parts: parts(8, 8) },
    { kind: "window", window: 16, layers: [1, 5], parts: parts(8, 8) },
    { kind: "all", window: 0, layers: [3, 7], parts: parts(16) },
    { kind: "window", window: 32, layers: [4], parts: parts(8, 8) },
    { kind: "all", window: 0, layers: [6], parts: [{ elements: 16, type: "f32" }] },
  ]);
});
