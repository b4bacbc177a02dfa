import type { CacheConfig, PagedCache } from "./cache.ts";
import { namedPages } from "./prefix.ts";
import { type Queue, rank } from "./queue.ts";
import { pendingTokens, type Sequence } from "./sequence.ts";
import { byTokensToRun, wouldRun } from "./shares.ts";

/** Pages of prompts that are named and looked up before one step, but for the last prompt: some 2 ms. Then the event loop goes on. */
const MOST_PAGES = 1024;

/** Waiting sequences that are looked at before one step, those that can't come in among them. Chosen: some milliseconds. */
const MOST_SEEN = 1 << 14;

/** Waiting sequences among which the shortest prompt is found. Chosen: those that could run soon, at little cost for a step. */
const MOST_COMPARED = 32;

/**
 * Chooses which waiting sequence runs next: the first by rank or, where that would run nothing yet, the shortest prompt. Those that it
 * overtakes keep a slot and their pages, so that nobody waits longer for room because others were shorter. What begins like a prompt that
 * is computed at the moment comes in behind that, so that a beginning which many share is computed once.
 */
export class Newcomers {
  readonly #cache: PagedCache;
  readonly #config: CacheConfig;
  readonly #waiting: Queue;
  readonly #running: Queue;
  readonly #passed: Sequence[] = [];
  /** Pages of each sequence that were named since `begin`, by its id: nothing here keeps a sequence alive. */
  readonly #named = new Map<number, number>();
  readonly #underWay = new UnderWay();
  #pagesLeft = 0;
  #seenLeft = 0;
  #isPutOff = false;

  constructor(cache: PagedCache, config: CacheConfig, waiting: Queue, running: Queue) {
    this.#cache = cache;
    this.#config = config;
    this.#waiting = waiting;
    this.#running = running;
  }

  /** Those that the chosen one overtakes. */
  get passed(): readonly Sequence[] {
    return this.#passed;
  }

  /** Since `begin` there was too little time to look at all that could run. */
  get isPutOff(): boolean {
    return this.#isPutOff;
  }

  /** A step is about to be planned. */
  begin(): void {
    this.#pagesLeft = MOST_PAGES;
    this.#seenLeft = MOST_SEEN;
    this.#named.clear();
    this.#isPutOff = false;
  }

  /** Who gets a slot and pages next; `undefined` where nobody would run a token in the next step. */
  choose(): Sequence | undefined {
    this.#underWay.take(this.#running, this.#cache);
    const chosen = this.#find();
    this.#underWay.clear();
    if (chosen === undefined || !this.#isUpToDate(chosen)) return undefined;
    const named = this.#named.get(chosen.id) ?? 0; // which has been paid for
    this.#pagesLeft -= Math.max(0, namedPages(chosen) - named);
    return chosen;
  }

  #find(): Sequence | undefined {
    const { maxBatchTokens } = this.#config;
    this.#passed.length = 0;
    let [shortest, compared]: [Sequence | undefined, number] = [undefined, 0];
    for (const sequence of this.#waiting) {
      const isDue = this.#isDue(sequence);
      this.#seenLeft -= 1;
      if (this.#seenLeft < 0 || (isDue && this.#pagesLeft <= 0)) {
        this.#isPutOff = true;
        break;
      }
      if (!isDue || !this.#isForeseen(sequence) || this.#underWay.has(sequence)) continue;
      if (compared === 0 && wouldRun(sequence, this.#running, maxBatchTokens)) return sequence;
      if (shortest === undefined || byTokensToRun(sequence, shortest) < 0) shortest = sequence;
      this.#passed.push(sequence);
      compared += 1;
      if (compared === MOST_COMPARED) break;
    }
    if (shortest === undefined || !wouldRun(shortest, this.#running, maxBatchTokens)) return undefined;
    while (this.#passed.length > 0 && rank(shortest, this.#passed.at(-1)!) <= 0) this.#passed.pop();
    return shortest;
  }

  /** Its tokens are all known, and what it should find in the cache is there. */
  #isDue(sequence: Sequence): boolean {
    const { after } = sequence.options;
    if (sequence.sampling > 0 || pendingTokens(sequence) === 0) return false;
    return after === undefined || after.state === "finished" || after.offered >= this.#fullPages(after.promptLength - 1);
  }

  /** It is known how much the cache has of it, and whether somebody computes what it needs next. */
  #isForeseen(sequence: Sequence): boolean {
    return (sequence.expected !== undefined && namedPages(sequence) >= this.#underWay.farthest) || this.#name(sequence);
  }

  /** What the cache got since the sequence was looked at has names, too. Of one that was refused `attach` sees to that, when there may be room. */
  #isUpToDate(sequence: Sequence): boolean {
    return this.#cache.isRefused(sequence) || this.#name(sequence);
  }

  /** Names its pages as far as the cache has them. False: the rest is put off. */
  #name(sequence: Sequence): boolean {
    const most = Math.max(0, this.#pagesLeft);
    const named = this.#cache.foresee(sequence, most);
    this.#pagesLeft -= named;
    this.#named.set(sequence.id, named + (this.#named.get(sequence.id) ?? 0));
    const isDone = sequence.expected !== undefined && named < most;
    if (!isDone) this.#isPutOff = true;
    return isDone;
  }

  #fullPages(tokens: number): number {
    return Math.floor(tokens / this.#config.pageSize);
  }
}

/** The pages that running sequences compute next, by their hashes. */
class UnderWay {
  /** Who computes a page; of several the first by rank. */
  readonly #owners = new Map<string, Sequence>();
  /** Where these hashes stand among those of a sequence. */
  readonly #places = new Set<number>();
  #farthest = 0;

  clear(): void {
    this.#owners.clear();
    this.#places.clear();
    this.#farthest = 0;
  }

  /** The largest of them; 0: none. */
  get farthest(): number {
    return this.#farthest;
  }

  take(running: Queue, cache: PagedCache): void {
    for (const sequence of running) {
      if (sequence.share === 0 || pendingTokens(sequence) <= 1) continue;
      const place = sequence.offered + 1;
      const hash = cache.nextName(sequence);
      if (hash === undefined || this.#owners.has(hash)) continue;
      this.#owners.set(hash, sequence);
      this.#places.add(place);
      this.#farthest = Math.max(this.#farthest, place);
    }
  }

  /** Whether someone who comes before the sequence computes the page that it needs next: it finds that one in the cache a step later. */
  has(sequence: Sequence): boolean {
    for (const place of this.#places) {
      const owner = this.#owners.get(sequence.hashes[place] ?? "");
      if (owner !== undefined && rank(owner, sequence) < 0) return true;
    }
    return false;
  }
}
