import crypto from "node:crypto"; // whole: an older Node, which has no `hash`, is to be told so, and not to fail while it links
import type { GroupPages } from "./groups/group.ts";
import type { MediaSpan, Sequence, SequenceOptions } from "./sequence.ts";

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
 * The names are the same in all cache groups, so each is computed once per sequence, and the prompt's once for all choices of a request;
 * they stay right over a preemption. Pages that the cache may have get theirs before they are looked up, others as they are full, while
 * later steps run.
 */
export function prefixHash(sequence: Sequence, pages: number, pageSize: number, modelId: string): string {
  const { tokens, options } = sequence;
  if (sequence.hashes.length === 0) sequence.hashes = firstHashes(options, pageSize, modelId);
  const { hashes } = sequence;
  if (hashes.length > pages) return hashes[pages]!;
  const pageBytes = pageSize * Int32Array.BYTES_PER_ELEMENT;
  const [named, ids] = [Buffer.alloc(NAME_LENGTH + pageBytes), new Uint8Array(tokens.buffer, tokens.byteOffset)];
  for (let p = hashes.length - 1; p < pages; p++) {
    named.write(hashes[p]!, "latin1");
    named.set(ids.subarray(p * pageBytes, (p + 1) * pageBytes), NAME_LENGTH);
    const media = mediaIn(options.media, p * pageSize, (p + 1) * pageSize);
    hashes.push(sha256(media === "" ? named : Buffer.concat([named, Buffer.from(media)])));
  }
  return hashes[pages]!;
}

/** How many pages in front have names. */
export function namedPages({ hashes }: Sequence): number {
  return Math.max(0, hashes.length - 1);
}

/** Those of the prompt, where a sequence of the same names has them; else the root. */
function firstHashes({ prompt, media, adapter, cacheSalt, after }: SequenceOptions, pageSize: number, modelId: string): string[] {
  const same = after !== undefined && after.options.prompt === prompt && after.options.media === media;
  if (same && after.hashes.length > 0 && after.options.adapter === adapter && after.options.cacheSalt === cacheSalt)
    return after.hashes.slice(0, 1 + Math.floor(prompt.length / pageSize));
  return [sha256(JSON.stringify([modelId, adapter, cacheSalt]))];
}

/** The media that overlap tokens [start, end), as text; "" when none does. */
function mediaIn(media: readonly MediaSpan[], start: number, end: number): string {
  const spans = media.filter((span) => span.start < end && span.end > start);
  return spans.length === 0 ? "" : JSON.stringify(spans.map((span) => [span.start, span.end, span.hash]));
}

/** Of data of which only the end may vary in length, so that no two lists of parts are the same bytes. One call per name: an object is slower. */
function sha256(data: string | Uint8Array): string {
  return crypto.hash("sha256", data, "base64url");
}

/** Characters of a name. */
const NAME_LENGTH = 43;

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
