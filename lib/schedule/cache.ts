import { checkInteger } from "../check.ts";
import { KvasirError } from "../errors.ts";
import type { CacheGroupConfig, CreateGroup, GroupPages, GroupSizes } from "./groups/group.ts";
import { longestPrefix, namedPages, prefixHash } from "./prefix.ts";
import type { Sequence } from "./sequence.ts";

/** Sizes of the paged cache. */
export interface CacheConfig extends GroupSizes {
  /** Tokens of a sequence at most, prompt and output. */
  maxContext: number;
  /** Sequences share the pages of equal prefixes. */
  prefixCache: boolean;
  /** Part of every prefix's name. */
  modelId: string;
  groups: readonly CacheGroupConfig[];
}

/** A sequence that found too little room. */
interface Refusal {
  id: number;
  /** Pages promised to others less those that came free so far, when it last asked, by group. */
  demand: number[];
  /** What that must come down to before it is looked up again. */
  limits: number[];
}

/**
 * Which pages hold which sequence's keys and values, in all cache groups. A row [start, end) of a sequence, P the page size:
 *
 *     group that sees all      |== prefix hit or computed ==|== row ==|
 *                              0                          start      end      pages [0, ceil(end / P))
 *     group with a window      given back |==== window - 1 ====|== row ==|    pages from that of start - window + 1 on
 *
 * Everything happens at planning time: steps run in the order in which they are planned, so a page that is given back now may be written
 * by the very next step, and one that a submitted step fills may be read by the next. A step may fail after all: each name remembers the
 * latest step that was submitted when it was given, and each sequence the latest of the names that it found (`foundStep`). What the step
 * should have written has a name of that step or a later one, and so has everything that was computed from it.
 */
export class PagedCache {
  readonly groups: readonly GroupPages[];
  /** Those of the model, and those of its draft model. */
  readonly #own: readonly GroupPages[];
  readonly #draft: readonly GroupPages[];
  readonly #config: CacheConfig;
  #refusal: Refusal | undefined;

  /** Throws INVALID_ARGUMENT when the pools are too small for one sequence of `maxContext` tokens. */
  constructor(config: CacheConfig, createGroup: CreateGroup) {
    checkSizes(config);
    this.#config = config;
    this.groups = config.groups.map((group, index) => createGroup(group, index, config));
    this.#own = this.groups.filter(({ config: { draft } }) => !draft);
    this.#draft = this.groups.filter(({ config: { draft } }) => draft);
    const most = Math.min(...this.groups.map(({ maxContext }) => maxContext));
    if (config.maxContext <= most) return;
    throw new KvasirError("INVALID_ARGUMENT", `maxContext is ${config.maxContext}; expected at most ${most}, which the pools hold`);
  }

  /**
   * Names a waiting sequence's pages as far as the cache may have them, and the first that it lacks: at most `most` more than have names, and
   * returns how many. Fewer than `most` are all: `expected` is what the cache has of the sequence, unless it is known from before.
   */
  foresee(sequence: Sequence, most: number): number {
    const before = namedPages(sequence);
    const isNamed = this.#nameFound(sequence, before + most);
    if (isNamed) sequence.expected ??= longestPrefix(this.#own, sequence, this.#mostKnown(sequence)) * this.#config.pageSize;
    return namedPages(sequence) - before;
  }

  /** The name of the page that a running sequence fills next, where others may look for that. */
  nextName(sequence: Sequence): string | undefined {
    const { pageSize, modelId } = this.#config;
    const pages = sequence.offered + 1;
    if (pages > this.#mostFound(sequence)) return sequence.hashes[pages]; // none is made for a score, nor of tokens that are not known
    return prefixHash(sequence, pages, pageSize, modelId);
  }

  /** The sequence was looked up, and found too little room; nobody was looked up since. */
  isRefused({ id }: Sequence): boolean {
    return this.#refusal?.id === id;
  }

  /**
   * Gives a sequence without pages those of its longest cached prefix: `computed` begins there. False, and nothing has changed, unless there
   * is room for all of its known tokens beside those of who runs and of who was `passed`, and a page for each of these to go on. The last
   * known token is always computed, since its row samples. What the draft model's cache has of the prefix may be less: it computes the rest
   * if it is to guess.
   */
  attach(sequence: Sequence, running: readonly Sequence[], passed: readonly Sequence[]): boolean {
    const promised = this.#own.map((group) => promisedPages(group, running) + promisedPages(group, passed));
    if (this.#isStillRefused(sequence, promised)) return false;
    const pages = this.#prefixPages(sequence);
    const draftPages = sequence.options.speculate ? longestPrefix(this.#draft, sequence, pages) : 0;
    const found = this.groups.map((group) => group.attach(sequence, group.config.draft ? draftPages : pages));
    const lacks = this.#own.map((group, g) => group.missing(sequence, sequence.length) + promised[g]! - group.pool.available);
    if (lacks.some((lack) => lack > 0)) {
      this.#releaseAll(sequence);
      const demand = this.#own.map(({ pool }, g) => promised[g]! - pool.freed);
      this.#refusal = { id: sequence.id, demand, limits: demand.map((pages, g) => pages - Math.max(0, lacks[g]!)) };
      return false;
    }
    this.#refusal = undefined;
    sequence.offered = pages;
    sequence.computed = pages * this.#config.pageSize;
    sequence.draftOffered = draftPages;
    sequence.draftComputed = draftPages * this.#config.pageSize;
    sequence.foundStep = Math.max(sequence.foundStep, ...found);
    return true;
  }

  /** Whether the sequence that `attach` has just refused may find room if all of `running` that are given give back their pages. */
  mayFitWithout(running: readonly Sequence[]): boolean {
    const { demand, limits } = this.#refusal!;
    return this.#own.every((group, g) => demand[g]! - promisedPages(group, running) - group.heldAlone(running) <= limits[g]!);
  }

  /** Where the sequence's next row, of at most `count` tokens, has to end at the latest. */
  cut({ computed }: Sequence, count: number): number {
    let end = computed + count;
    for (const group of this.groups) end = group.cut(computed, end);
    return end;
  }

  /**
   * Gives back what tokens from `computed` on do not see, and takes the pages up to `end`. False, and none was taken, when these and `spare`
   * more are not there.
   */
  reserve(sequence: Sequence, end: number, spare: number = 0): boolean {
    for (const group of this.#own) group.trim(sequence);
    if (!this.#hasRoom(sequence, end, spare)) return false;
    for (const group of this.#own) group.reserve(sequence, end);
    return true;
  }

  /** Takes the pages up to `end` in the draft model's groups. False when there are too few. */
  reserveDraft(sequence: Sequence, end: number): boolean {
    if (!this.#draft.every((group) => group.missing(sequence, end) <= group.pool.available)) return false;
    for (const group of this.#draft) group.reserve(sequence, end);
    return true;
  }

  /**
   * A row has come that guessed: what it wrote for wrong guesses lies behind `computed` by now, in pages without a name, and is written anew
   * by the tokens that come instead. What such tokens leave in a state that each token changes has to be undone here: a group of recurrent
   * layers would go back to the snapshot that it took when the row was reserved.
   */
  shrink(sequence: Sequence): void {
    for (const group of this.groups) group.shrink(sequence);
  }

  /** Lets others find the pages that steps up to `step`, the latest that was submitted, have filled with known tokens. */
  offer(sequence: Sequence, step: number): void {
    const { pageSize, modelId, prefixCache } = this.#config;
    const full = Math.floor(Math.min(sequence.computed, sequence.length) / pageSize);
    const draftFull = Math.floor(Math.min(sequence.draftComputed, sequence.length) / pageSize);
    if (full === sequence.offered && draftFull === sequence.draftOffered) return;
    if (prefixCache) {
      prefixHash(sequence, full, pageSize, modelId);
      for (const group of this.groups) group.offer(sequence, group.config.draft ? draftFull : full, step);
    }
    sequence.offered = full;
    sequence.draftOffered = draftFull;
  }

  /** Takes all pages from the sequence; those that were offered stay cached. */
  release(sequence: Sequence): void {
    this.#releaseAll(sequence);
    sequence.offered = 0;
    sequence.computed = 0;
    sequence.draftOffered = 0;
    sequence.draftComputed = 0;
  }

  /** Nobody finds what `step` or a later one may have written. */
  forget(step: number): void {
    for (const { pool } of this.groups) pool.forget(step);
  }

  /** Throws INTERNAL unless `sequences` are all that hold pages, and hold those that they need. */
  check(sequences: readonly Sequence[]): void {
    for (const group of this.groups) group.check(sequences);
  }

  /** Pages that the sequence might find: none of a score, each of whose tokens has to run. */
  #mostFound({ length, options }: Sequence): number {
    const { pageSize, prefixCache } = this.#config;
    return prefixCache && options.output !== "score" ? Math.floor((length - 1) / pageSize) : 0;
  }

  /** Those of them that have names. */
  #mostKnown(sequence: Sequence): number {
    return Math.min(this.#mostFound(sequence), namedPages(sequence));
  }

  #prefixPages(sequence: Sequence): number {
    this.#nameFound(sequence, Number.POSITIVE_INFINITY);
    return longestPrefix(this.#own, sequence, this.#mostKnown(sequence));
  }

  /** Names pages until `most` have names, or one has that ends what the cache has of the sequence: true then, or where it has no more. */
  #nameFound(sequence: Sequence, most: number): boolean {
    const { pageSize, modelId } = this.#config;
    const limit = this.#mostFound(sequence);
    for (let pages = namedPages(sequence); pages < limit; pages++) {
      const last = pages === 0 ? undefined : sequence.hashes[pages]!;
      if (last !== undefined && !this.#own.every((group) => group.mayContinue(last))) return true;
      if (pages >= most) return false;
      prefixHash(sequence, pages + 1, pageSize, modelId);
    }
    return true;
  }

  /** Fewer pages came free since, or are no longer promised to others, than were lacking. */
  #isStillRefused({ id }: Sequence, promised: readonly number[]): boolean {
    if (this.#refusal?.id !== id) return false;
    const { limits } = this.#refusal;
    const demand = this.#own.map(({ pool }, g) => promised[g]! - pool.freed);
    this.#refusal.demand = demand;
    return demand.some((pages, g) => pages > limits[g]!);
  }

  #hasRoom(sequence: Sequence, end: number, spare: number): boolean {
    return this.#own.every((group) => group.missing(sequence, end) + spare <= group.pool.available);
  }

  #releaseAll(sequence: Sequence): void {
    for (const group of this.groups) group.release(sequence);
  }
}

/** Pages that others, who come first, have still to take for tokens that are known, and one more for each. */
function promisedPages(group: GroupPages, others: readonly Sequence[]): number {
  return others.reduce((sum, sequence) => sum + 1 + Math.max(0, group.missing(sequence, sequence.length)), 0);
}

function checkSizes({ pageSize, maxBatchTokens, maxContext, groups }: CacheConfig): void {
  checkInteger("pageSize", pageSize, 1, 2 ** 20);
  checkInteger("maxBatchTokens", maxBatchTokens, 1, 2 ** 30);
  checkInteger("maxContext", maxContext, 1, 2 ** 30);
  checkInteger("groups.length", groups.length, 1, 2 ** 10);
}
