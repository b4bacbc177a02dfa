import { createHash } from "node:crypto";
import type { CacheGroupPool } from "./pages.ts";
import type { Sequence } from "./sequence.ts";

/**
 * Names of prefixes. A prefix of p pages is named by a chain of SHA-256 (a hash that nobody can collide on purpose: a colliding prompt
 * would read what another caller's prompt left in the cache):
 *
 *     hashes[0]      = sha256(model, salt)
 *     hashes[p + 1]  = sha256(hashes[p], tokens [p * P, (p + 1) * P) as 32-bit integers)      which also names page p
 *
 * The names are the same in all cache groups, so each is computed once per sequence; they stay right over a preemption.
 */
export function prefixHash(sequence: Sequence, pages: number, pageSize: number, modelId: string): string {
  const { hashes, tokens } = sequence;
  if (hashes.length === 0) hashes.push(sha256(JSON.stringify([modelId, sequence.options.cacheSalt])));
  for (let p = hashes.length - 1; p < pages; p++) {
    hashes.push(sha256(hashes[p]!, new Uint8Array(tokens.buffer, tokens.byteOffset + p * pageSize * 4, pageSize * 4)));
  }
  return hashes[pages]!;
}

function sha256(parent: string, tokens?: Uint8Array): string {
  const hash = createHash("sha256").update(parent);
  return (tokens === undefined ? hash : hash.update(tokens)).digest("base64url");
}

/**
 * Pages of the longest prefix that can be continued from the cache, at most `limit`: `hashes[p + 1]` names page p.
 *
 *     page              0   1   2   3   4   5   6
 *     sees all          x   x   x   x   x   x   .      holds 6 pages in a row
 *     sees a window     .   .   x   x   .   x   .      a window of 2 pages is whole before page 4, not before 5 or 6: the prefix has 4
 */
export function longestPrefix(groups: readonly CacheGroupPool[], hashes: readonly string[], limit: number, pageSize: number): number {
  let pages = limit;
  for (const { window, pool } of groups) {
    if (window > 0) continue;
    let p = 0;
    while (p < pages && pool.find(hashes[p + 1]!) >= 0) p += 1;
    pages = p;
  }
  for (let missing = pages; missing >= 0; ) {
    pages = missing;
    missing = missingPage(groups, hashes, pages, pageSize);
  }
  return pages;
}

/** A page that a token after the first `pages` pages would see and that a group with a window lacks, or -1. No longer prefix than that can do. */
function missingPage(groups: readonly CacheGroupPool[], hashes: readonly string[], pages: number, pageSize: number): number {
  for (const { window, pool } of groups) {
    if (window === 0) continue;
    const first = firstSeenPage(window, pages * pageSize, pageSize);
    for (let p = pages - 1; p >= first; p--) if (pool.find(hashes[p + 1]!) < 0) return p;
  }
  return -1;
}

/** The first page of which the token at `position` sees something. */
export function firstSeenPage(window: number, position: number, pageSize: number): number {
  return window === 0 ? 0 : Math.floor(Math.max(0, position - window + 1) / pageSize);
}
