import { checkInteger } from "../../check.ts";
import { counted } from "../../errors.ts";
import { invariant, PagePool, type PageTable } from "../pages.ts";
import type { Sequence } from "../sequence.ts";
import type { CacheGroupConfig, GroupPages } from "./group.ts";

/**
 * What groups share whose pages hold the keys and values of tokens: page p those of tokens [p * P, (p + 1) * P), P the page size. A sequence
 * holds the pages from the first that its next token sees to the last that it has reserved.
 */
export abstract class TokenPages implements GroupPages {
  readonly config: CacheGroupConfig;
  readonly pool: PagePool;
  readonly maxContext: number;
  protected readonly pageSize: number;
  readonly #index: number;
  /** Pages that one sequence holds at most. */
  readonly #mostPages: number;

  constructor(config: CacheGroupConfig, index: number, pageSize: number, mostPages: number) {
    const { pages } = config;
    this.config = config;
    this.pool = new PagePool(checkInteger("pages", pages, 1, 2 ** 30));
    this.maxContext = pages >= mostPages ? Number.POSITIVE_INFINITY : pages * pageSize;
    this.pageSize = pageSize;
    this.#index = index;
    this.#mostPages = mostPages;
  }

  abstract mayContinue(hash: string): boolean;

  abstract continuable(sequence: Sequence, limit: number): number;

  /** The first page of which the token at `position` sees something. */
  abstract firstSeen(position: number): number;

  attach(sequence: Sequence, pages: number): number {
    const table = this.#tableOf(sequence);
    table.first = this.firstSeen(pages * this.pageSize);
    let latest = 0;
    for (let p = table.first; p < pages; p++) {
      const page = this.pool.find(sequence.hashes[p + 1]!);
      this.pool.retain(page);
      table.push(page);
      latest = Math.max(latest, this.pool.stepOf(page));
    }
    return latest;
  }

  trim(sequence: Sequence): void {
    const table = this.#tableOf(sequence);
    const unseen = Math.min(this.firstSeen(this.#computed(sequence)) - table.first, table.count);
    if (unseen <= 0) return;
    for (let i = 0; i < unseen; i++) this.pool.release(table.ids[i]!);
    table.dropFirst(unseen);
  }

  heldAlone(sequences: readonly Sequence[]): number {
    return this.pool.heldAlone(sequences.map((sequence) => this.#tableOf(sequence)));
  }

  missing(sequence: Sequence, end: number): number {
    const { first, count } = this.#tableOf(sequence);
    return Math.min(Math.ceil(end / this.pageSize) - first, this.#mostPages) - count;
  }

  reserve(sequence: Sequence, end: number): void {
    const table = this.#tableOf(sequence);
    const endPage = Math.ceil(end / this.pageSize);
    while (table.first + table.count < endPage) table.push(this.pool.take());
  }

  shrink(sequence: Sequence): void {
    const table = this.#tableOf(sequence);
    const endPage = Math.ceil(this.#computed(sequence) / this.pageSize);
    while (table.count > 0 && table.first + table.count > endPage) this.pool.release(table.pop());
  }

  offer(sequence: Sequence, full: number, step: number): void {
    const { first, ids } = this.#tableOf(sequence);
    for (let p = Math.max(first, this.config.draft ? sequence.draftOffered : sequence.offered); p < full; p++)
      this.pool.offer(ids[p - first]!, sequence.hashes[p + 1]!, step);
  }

  /** Last pages first, so that the end of a prefix is evicted before what it continues. */
  release(sequence: Sequence): void {
    const table = this.#tableOf(sequence);
    for (let i = table.count - 1; i >= 0; i--) this.pool.release(table.ids[i]!);
    table.clear();
  }

  cut(_start: number, end: number): number {
    return end;
  }

  check(sequences: readonly Sequence[]): void {
    this.pool.check(sequences.map((sequence) => this.#tableOf(sequence)));
    for (const sequence of sequences) {
      const { first, count } = this.#tableOf(sequence);
      const where = `in group ${this.#index}`;
      invariant(first <= this.firstSeen(this.#computed(sequence)), `sequence ${sequence.id} lacks pages that it sees ${where}`);
      invariant(
        first + count >= Math.ceil(this.#computed(sequence) / this.pageSize),
        `sequence ${sequence.id} lacks computed pages ${where}`,
      );
      invariant(count <= this.#mostPages, `sequence ${sequence.id} holds ${counted(count, "page")} ${where}, more than ${this.#mostPages}`);
    }
  }

  #computed({ computed, draftComputed }: Sequence): number {
    return this.config.draft ? draftComputed : computed;
  }

  #tableOf(sequence: Sequence): PageTable {
    return sequence.pages[this.#index]!;
  }
}
