import type { PagePool } from "../pages.ts";
import type { Sequence } from "../sequence.ts";

/** A pool of pages for the layers whose tokens see the same: all before them, or a `window`. */
export interface CacheGroupConfig {
  kind: "all" | "window";
  /** Tokens that a token sees, itself included; 0 for `all`. */
  window: number;
  pages: number;
  /** The layers are the draft model's: its cache has a sequence's tokens up to `draftComputed`, and only sequences that it drafts for hold pages. */
  draft: boolean;
}

/** Sizes that all groups share. */
export interface GroupSizes {
  /** Tokens of a page. */
  pageSize: number;
  /** Tokens of a step at most. */
  maxBatchTokens: number;
}

/**
 * The pages of one cache group: which of them a sequence needs, where its prefix can be continued, where its rows may end. An alternative
 * for each kind; the cache composes them and knows none. Sequence `s` holds `s.pages[index]` of the group with that index.
 */
export interface GroupPages {
  readonly config: CacheGroupConfig;
  readonly pool: PagePool;
  /** Tokens of the longest sequence that the pool holds alone, prompt and output. */
  readonly maxContext: number;
  /** Whether a prefix with this page may be continued, as far as the page alone tells. */
  mayContinue(hash: string): boolean;
  /** Pages of the longest prefix, at most `limit`, that cached pages let the sequence continue; `hashes` name them. */
  continuable(sequence: Sequence, limit: number): number;
  /** Gives a sequence without pages what continues its first `pages` pages, all of it cached. Returns the latest step that named one; 0: none. */
  attach(sequence: Sequence, pages: number): number;
  /** Gives back what no token from `computed` on needs. */
  trim(sequence: Sequence): void;
  /** Pages that these sequences hold and no other does. */
  heldAlone(sequences: readonly Sequence[]): number;
  /** Pages to take, beyond those that come back on the way, until the tokens before `end` have run. */
  missing(sequence: Sequence, end: number): number;
  /** Takes the pages of the tokens before `end`; there is room for those that are missing. */
  reserve(sequence: Sequence, end: number): void;
  /** Gives back what the tokens before `computed` do not need: it was taken for guesses that were wrong. */
  shrink(sequence: Sequence): void;
  /** Names the sequence's pages [offered, full), which steps up to `step` have filled. */
  offer(sequence: Sequence, full: number, step: number): void;
  /** Takes all pages from the sequence; those with a name stay cached. */
  release(sequence: Sequence): void;
  /** Where a row of tokens [start, end) has to end at the latest: after `start`, at `end` if nothing speaks against it. */
  cut(start: number, end: number): number;
  /** Throws INTERNAL unless `sequences` are all that hold pages, and hold those that they need. */
  check(sequences: readonly Sequence[]): void;
}

/** Makes the group with this index. */
export type CreateGroup = (config: CacheGroupConfig, index: number, sizes: GroupSizes) => GroupPages;
