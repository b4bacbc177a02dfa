import { isDeepStrictEqual } from "node:util";
import type { CachePart } from "./kinds.ts";
import type { CacheGroup } from "./spec.ts";

/**
 * Puts a layer into the group of those whose cache is like its own, a new one if there is none; returns the group's index.
 * A window of 0 is none: the layer sees all.
 */
export function joinCacheGroup(groups: CacheGroup[], layer: number, window: number, parts: CachePart[]): number {
  const kind = window === 0 ? "all" : "window";
  const alike = (group: CacheGroup) => group.kind === kind && group.window === window && isDeepStrictEqual(group.parts, parts);
  let index = groups.findIndex(alike);
  if (index < 0) index = groups.push({ kind, window, layers: [], parts }) - 1;
  groups[index]!.layers.push(layer);
  return index;
}
