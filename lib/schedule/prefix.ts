import { createHash } from "node:crypto";
import type { GroupPages } from "./groups/group.ts";
import type { MediaSpan, Sequence } from "./sequence.ts";

/**
 * Names of prefixes. A prefix of p pages is named by a chain of SHA-256 (a hash that nobody can collide on purpose: a colliding prompt
 * would read what another caller's prompt left in the cache):
 *
 *     hashes[0]      = sha256(model, adapter, salt)
 *     hashes[p + 1]  = sha256(hashes[p], tokens [p * P, (p + 1) * P) as 32-bit integers, media that overlap them)      which also names page p
 *
 *     tokens   | 5 9 8 7 | 7 7 7 7 | 7 7 2 4 | 6 ...        7: a placeholder; the picture is part of the names of pages 0, 1 and 2,
 *     media            |--- picture ---|                       and of all that follow, by the chain
 *
 * The names are the same in all cache groups, so each is computed once per sequence; they stay right over a preemption.
 */
export function prefixHash(sequence: Sequence, pages: number, pageSize: number, modelId: string): string {
  const { hashes, tokens, options } = sequence;
  if (hashes.length === 0) hashes.push(sha256(JSON.stringify([modelId, options.adapter, options.cacheSalt])));
  for (let p = hashes.length - 1; p < pages; p++) {
    const start = p * pageSize;
    const ids = new Uint8Array(tokens.buffer, tokens.byteOffset + start * 4, pageSize * 4);
    hashes.push(sha256(hashes[p]!, ids, mediaIn(options.media, start, start + pageSize)));
  }
  return hashes[pages]!;
}

/** The media that overlap tokens [start, end), as text; "" when none does. */
function mediaIn(media: readonly MediaSpan[], start: number, end: number): string {
  const spans = media.filter((span) => span.start < end && span.end > start);
  return spans.length === 0 ? "" : JSON.stringify(spans.map((span) => [span.start, span.end, span.hash]));
}

/** Of parts of which only the last may vary in length, so that no two lists of parts are the same bytes. */
function sha256(...parts: (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("base64url");
}

/**
 * Pages of the longest prefix that can be continued from the cache, at most `limit`: `sequence.hashes[p + 1]` names page p.
 *
 *     page              0   1   2   3   4   5   6
 *     sees all          x   x   x   x   x   x   .      holds 6 pages in a row
 *     sees a window     .   .   x   x   .   x   .      a window of 2 pages is whole before page 4, not before 5 or 6: the prefix has 4
 *
 * Each group lowers what the others have left, until none does.
 */
export function longestPrefix(groups: readonly GroupPages[], sequence: Sequence, limit: number): number {
  let pages = limit;
  for (let before = -1; before !== pages; ) {
    before = pages;
    for (const group of groups) pages = group.continuable(sequence, pages);
  }
  return pages;
}
