import { checkInteger } from "../check.ts";
import { KvasirError } from "../errors.ts";
import { type CacheGroupPool, invariant, PagePool, type PageTable } from "./pages.ts";
import { firstSeenPage, longestPrefix, prefixHash } from "./prefix.ts";
import type { Sequence } from "./sequence.ts";

/** A pool of pages for the layers that see the same: `window` tokens, or all when it is 0. */
export interface CacheGroupConfig {
  window: number;
  pages: number;
}

/** Sizes of the paged cache. */
export interface CacheConfig {
  /** Tokens of a page. */
  pageSize: number;
  /** Tokens of a step at most. */
  maxBatchTokens: number;
  /** Tokens of a sequence at most, prompt and output. */
  maxContext: number;
  /** Sequences share the pages of equal prefixes. */
  prefixCache: boolean;
  /** Part of every prefix's name. */
  modelId: string;
  groups: readonly CacheGroupConfig[];
}

/**
 * Tokens of the longest sequence that the pools hold: prompt and output, alone. A group that sees all holds every token; one with a window
 * holds what a whole step's tokens see, w - 1 + T tokens that begin anywhere in a page, whatever the length.
 */
export function maxContextOf(groups: readonly CacheGroupConfig[], pageSize: number, maxBatchTokens: number): number {
  const contexts = groups.map(({ window, pages }) => {
    return pages >= mostPagesOf(window, pageSize, maxBatchTokens) ? Number.POSITIVE_INFINITY : pages * pageSize;
  });
  return Math.min(...contexts);
}

function mostPagesOf(window: number, pageSize: number, maxBatchTokens: number): number {
  return window === 0 ? Number.POSITIVE_INFINITY : Math.ceil((window + maxBatchTokens - 2) / pageSize) + 1;
}

/**
 * Which pages hold which sequence's keys and values, in all cache groups. A row [start, end) of a sequence, P the page size:
 *
 *     group that sees all      |== prefix hit or computed ==|== row ==|
 *                              0                          start      end      pages [0, ceil(end / P))
 *     group with a window      given back |==== window - 1 ====|== row ==|    pages from that of start - window + 1 on
 *
 * Everything happens at planning time: steps run in the order in which they are planned, so a page that is given back now may be written
 * by the very next step, and one that a submitted step fills may be read by the next.
 */
export class PagedCache {
  readonly groups: readonly CacheGroupPool[];
  readonly #config: CacheConfig;

  constructor(config: CacheConfig) {
    checkConfig(config);
    const { pageSize, maxBatchTokens } = config;
    this.#config = config;
    this.groups = config.groups.map(({ window, pages }) => {
      return { window, pool: new PagePool(pages), mostPages: mostPagesOf(window, pageSize, maxBatchTokens) };
    });
  }

  /**
   * Gives a sequence without pages those of its longest cached prefix: `computed` begins there. False, and nothing has changed, unless there
   * is room for all of its known tokens and `spare` pages. The last known token is always computed, since its row samples.
   */
  attach(sequence: Sequence, spare: number): boolean {
    const { pageSize } = this.#config;
    const pages = this.#prefixPages(sequence);
    for (let g = 0; g < this.groups.length; g++) {
      const { window, pool } = this.groups[g]!;
      const table = sequence.pages[g]!;
      table.first = firstSeenPage(window, pages * pageSize, pageSize);
      for (let p = table.first; p < pages; p++) {
        const page = pool.find(sequence.hashes[p + 1]!);
        pool.retain(page);
        table.push(page);
      }
    }
    sequence.offered = pages;
    if (!this.#hasRoom(sequence, spare)) {
      this.#releaseAll(sequence);
      return false;
    }
    sequence.computed = pages * pageSize;
    return true;
  }

  /** Gives back what tokens from `computed` on do not see, and takes the pages up to `end`. False, and none was taken, when there are too few. */
  reserve(sequence: Sequence, end: number): boolean {
    const { pageSize } = this.#config;
    const endPage = Math.ceil(end / pageSize);
    let enough = true;
    for (let g = 0; g < this.groups.length; g++) {
      const { window, pool } = this.groups[g]!;
      const table = sequence.pages[g]!;
      dropBefore(table, pool, firstSeenPage(window, sequence.computed, pageSize));
      enough &&= endPage - table.first - table.count <= pool.available;
    }
    if (!enough) return false;
    for (let g = 0; g < this.groups.length; g++) {
      const table = sequence.pages[g]!;
      while (table.first + table.count < endPage) table.push(this.groups[g]!.pool.take());
    }
    return true;
  }

  /** Lets others find the pages that submitted steps have filled with known tokens. */
  offer(sequence: Sequence): void {
    const { pageSize, modelId, prefixCache } = this.#config;
    const full = Math.floor(Math.min(sequence.computed, sequence.length) / pageSize);
    for (let p = sequence.offered; p < full && prefixCache; p++) {
      const hash = prefixHash(sequence, p + 1, pageSize, modelId);
      for (let g = 0; g < this.groups.length; g++) {
        const table = sequence.pages[g]!;
        if (p >= table.first) this.groups[g]!.pool.offer(table.ids[p - table.first]!, hash);
      }
    }
    sequence.offered = full;
  }

  /** Takes all pages from the sequence; full ones stay cached. */
  release(sequence: Sequence): void {
    this.offer(sequence);
    this.#releaseAll(sequence);
    sequence.computed = 0;
  }

  /** Throws INTERNAL unless `sequences` are all that hold pages, and hold those that they need. */
  check(sequences: readonly Sequence[]): void {
    const { pageSize } = this.#config;
    for (const [g, { window, pool, mostPages }] of this.groups.entries()) {
      pool.check(sequences.map(({ pages }) => pages[g]!));
      for (const { id, pages, computed } of sequences) {
        const { first, count } = pages[g]!;
        invariant(first <= firstSeenPage(window, computed, pageSize), `sequence ${id} lacks pages that it sees in group ${g}`);
        invariant(first + count >= Math.ceil(computed / pageSize), `sequence ${id} lacks computed pages in group ${g}`);
        invariant(count <= mostPages, `sequence ${id} holds ${count} pages in group ${g}, more than ${mostPages}`);
      }
    }
  }

  #prefixPages(sequence: Sequence): number {
    const { pageSize, modelId, prefixCache } = this.#config;
    if (!prefixCache || sequence.options.output === "score") return 0; // each of a score's tokens has to run
    const limit = Math.floor((sequence.length - 1) / pageSize);
    prefixHash(sequence, limit, pageSize, modelId);
    return longestPrefix(this.groups, sequence.hashes, limit, pageSize);
  }

  #hasRoom(sequence: Sequence, spare: number): boolean {
    const endPage = Math.ceil(sequence.length / this.#config.pageSize);
    return this.groups.every(({ pool, mostPages }, g) => {
      const { first, count } = sequence.pages[g]!;
      return Math.min(endPage - first, mostPages) - count + spare <= pool.available;
    });
  }

  /** Last pages first, so that the end of a prefix is evicted before what it continues. */
  #releaseAll(sequence: Sequence): void {
    for (let g = 0; g < this.groups.length; g++) {
      const table = sequence.pages[g]!;
      for (let i = table.count - 1; i >= 0; i--) this.groups[g]!.pool.release(table.ids[i]!);
      table.clear();
    }
    sequence.offered = 0;
  }
}

function dropBefore(table: PageTable, pool: PagePool, page: number): void {
  const dropped = Math.min(page - table.first, table.count);
  if (dropped <= 0) return;
  for (let i = 0; i < dropped; i++) pool.release(table.ids[i]!);
  table.dropFirst(dropped);
}

function checkConfig({ pageSize, maxBatchTokens, maxContext, groups }: CacheConfig): void {
  checkInteger("pageSize", pageSize, 1, 2 ** 20);
  checkInteger("maxBatchTokens", maxBatchTokens, 1, 2 ** 30);
  checkInteger("maxContext", maxContext, 1, 2 ** 30);
  checkInteger("groups.length", groups.length, 1, 2 ** 10);
  for (const { window, pages } of groups) {
    checkInteger("window", window, 0, 2 ** 30);
    checkInteger("pages", pages, 1, 2 ** 30);
  }
  const most = maxContextOf(groups, pageSize, maxBatchTokens);
  if (maxContext > most)
    throw new KvasirError("INVALID_ARGUMENT", `maxContext is ${maxContext}, but the pools hold ${most} tokens of one sequence`);
}
