import type { CacheConfig, PagedCache } from "./cache.ts";
import { type Queue, rank } from "./queue.ts";
import { pendingTokens, type Sequence } from "./sequence.ts";
import { byTokensLeft, wouldRun } from "./shares.ts";

/** Pages of prompts that are named and looked up before one step, but for the last prompt: some 2 ms. Then the event loop goes on. */
const MOST_PAGES = 1024;

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
  #pagesLeft = 0;
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
    this.#isPutOff = false;
  }

  /** Who gets a slot and pages next; `undefined` where nobody would run a token in the next step. */
  choose(): Sequence | undefined {
    const chosen = this.#find();
    if (chosen !== undefined) this.#pagesLeft -= Math.ceil(chosen.length / this.#config.pageSize);
    return chosen;
  }

  #find(): Sequence | undefined {
    const { maxBatchTokens } = this.#config;
    this.#passed.length = 0;
    let [shortest, compared]: [Sequence | undefined, number] = [undefined, 0];
    for (const sequence of this.#waiting) {
      if (!this.#isDue(sequence)) continue;
      if (this.#pagesLeft <= 0) {
        this.#isPutOff = true;
        break;
      }
      if (!this.#isForeseen(sequence) || this.#isUnderWay(sequence)) continue;
      if (compared === 0 && wouldRun(sequence, this.#running, maxBatchTokens)) return sequence;
      if (shortest === undefined || byTokensLeft(sequence, shortest) < 0) shortest = sequence;
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

  /** It is known how much the cache has of it. That takes a name for each of its pages. */
  #isForeseen(sequence: Sequence): boolean {
    if (sequence.expected === undefined) this.#pagesLeft -= this.#cache.foresee(sequence, this.#pagesLeft);
    if (sequence.expected === undefined) this.#isPutOff = true;
    return sequence.expected !== undefined;
  }

  /** Someone who comes before it computes the page that it needs next: it finds that one in the cache a step later. */
  #isUnderWay(sequence: Sequence): boolean {
    return this.#running.some((other) => {
      const next = sequence.hashes[other.offered + 1];
      const isSame = next !== undefined && next === other.hashes[other.offered + 1];
      return isSame && other.share > 0 && pendingTokens(other) > 1 && rank(other, sequence) < 0;
    });
  }

  #fullPages(tokens: number): number {
    return Math.floor(tokens / this.#config.pageSize);
  }
}
