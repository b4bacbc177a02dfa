import { counted, KvasirError } from "../errors.ts";

/** The pages of one sequence in one cache group: ids[i], i < count, holds tokens [(first + i) * P, (first + i + 1) * P), P the page size. */
export class PageTable {
  /** Pages given back in front, which no later token sees. */
  first = 0;
  count = 0;
  ids: Int32Array = new Int32Array(8);

  push(page: number): void {
    if (this.count === this.ids.length) {
      const ids = new Int32Array(this.ids.length * 2);
      ids.set(this.ids);
      this.ids = ids;
    }
    this.ids[this.count++] = page;
  }

  /** Takes out the last page. */
  pop(): number {
    this.count -= 1;
    return this.ids[this.count]!;
  }

  /** Forgets the first `pages` pages. */
  dropFirst(pages: number): void {
    this.ids.copyWithin(0, pages, this.count);
    this.first += pages;
    this.count -= pages;
  }

  clear(): void {
    this.first = 0;
    this.count = 0;
  }
}

const FIRST_CAPACITY = 1024;

/**
 * The pages of one cache group. Each is in one of three states:
 *
 *     free    --take-->    used     --release, without a hash-->  free
 *     cached  --retain-->  used     --release, with a hash----->  cached, as the most recently used
 *     cached  --take, when none is free: the least recently used loses its hash-->  used
 *     cached  --forget-->  free
 *
 * A hash names a full page by the tokens in it and before it (prefix.ts); pages with one are never written again, so many may use them.
 * With it goes the latest step that may have written the page: names of that step and later ones are forgotten when it fails.
 * The cached pages are a linked list through two Int32Arrays: retaining takes a page out of the middle, which an array or a Map cannot
 * do in constant time without garbage. All arrays grow with the pages that were ever taken: a pool may be as large as memory.
 */
export class PagePool {
  readonly size: number;
  /** Pages from this one on were never taken, and are free; the arrays need not have them yet. */
  #firstNew = 0;
  /** [capacity] tables that hold the page. */
  #references = new Int32Array(FIRST_CAPACITY);
  /** [firstNew] */
  readonly #hashes: (string | undefined)[] = [];
  /** [capacity] of pages with a hash: the latest step that was submitted when they got it. */
  #steps = new Float64Array(FIRST_CAPACITY);
  readonly #pageByHash = new Map<string, number>();
  /** [capacity] a stack: the page freed last is the likeliest to be in a processor's cache. */
  #free = new Int32Array(FIRST_CAPACITY);
  #freeCount = 0;
  /** [1 + capacity] neighbours of page p, at p + 1, in the list of cached pages, least recently used first; entry 0 stands for both of its ends. */
  #next = new Int32Array(1 + FIRST_CAPACITY);
  #previous = new Int32Array(1 + FIRST_CAPACITY);
  #cachedCount = 0;
  #freed = 0;

  constructor(size: number) {
    this.size = size;
  }

  /** Pages that `take` can give. */
  get available(): number {
    return this.#freeCount + this.#cachedCount + this.size - this.#firstNew;
  }

  /** Pages that nobody uses but that hold a prefix. */
  get cached(): number {
    return this.#cachedCount;
  }

  /** Pages that at least one table holds. */
  get used(): number {
    return this.size - this.available;
  }

  /** How often a page that was used came free or stayed cached, so far. */
  get freed(): number {
    return this.#freed;
  }

  /** Pages that these tables hold and no other does. */
  heldAlone(tables: readonly PageTable[]): number {
    const others = this.#references.slice(0, this.#firstNew);
    let pages = 0;
    for (const { ids, count } of tables) {
      for (let i = 0; i < count; i++) {
        const page = ids[i]!;
        others[page]! -= 1;
        if (others[page] === 0) pages += 1;
      }
    }
    return pages;
  }

  /** A page to write. There must be one available. */
  take(): number {
    if (this.available === 0) throw new KvasirError("INTERNAL", `all ${counted(this.size, "page")} of a pool are used`);
    const page = this.#freeCount > 0 ? this.#free[--this.#freeCount]! : this.#firstNew < this.size ? this.#takeNew() : this.#evict();
    this.#references[page] = 1;
    return page;
  }

  /** The page of that hash, or -1. */
  find(hash: string): number {
    return this.#pageByHash.get(hash) ?? -1;
  }

  /** One more table holds a page that `find` gave. */
  retain(page: number): void {
    if (this.#references[page]!++ === 0) this.#unlink(page);
  }

  /** One table fewer holds the page. */
  release(page: number): void {
    this.#references[page]! -= 1;
    if (this.#references[page]! > 0) return;
    this.#freed += 1;
    if (this.#hashes[page] === undefined) this.#free[this.#freeCount++] = page;
    else this.#linkLast(page);
  }

  /**
   * Lets others find a page that steps up to `step` have filled. Where two sequences computed the same tokens at once, the first page
   * keeps the hash.
   */
  offer(page: number, hash: string, step: number): void {
    if (this.#hashes[page] !== undefined || this.#pageByHash.has(hash)) return;
    this.#hashes[page] = hash;
    this.#steps[page] = step;
    this.#pageByHash.set(hash, page);
  }

  /** The step that a page with a hash was offered with. */
  stepOf(page: number): number {
    return this.#steps[page]!;
  }

  /** Takes the hash from each page that was offered with `step` or a later one: nobody finds it any more, who holds it keeps it. */
  forget(step: number): void {
    for (let page = 0; page < this.#firstNew; page++) {
      if (this.#hashes[page] === undefined || this.#steps[page]! < step) continue;
      this.#forgetHash(page);
      if (this.#references[page]! > 0) continue;
      this.#unlink(page);
      this.#free[this.#freeCount++] = page;
    }
  }

  /** Throws INTERNAL unless the pool is sound and `tables` are all that hold its pages. */
  check(tables: readonly PageTable[]): void {
    const references = new Int32Array(this.#references.length);
    for (const { ids, count } of tables) for (const page of ids.subarray(0, count)) references[page]! += 1;
    const free = new Set(this.#free.subarray(0, this.#freeCount));
    const cached = new Set<number>();
    for (let at = this.#next[0]!; at !== 0 && cached.size <= this.#firstNew; at = this.#next[at]!) cached.add(at - 1);
    invariant(free.size === this.#freeCount && cached.size === this.#cachedCount, "a page is free or cached twice");
    for (let page = 0; page < Math.min(this.size, references.length); page++) {
      const hash = this.#hashes[page];
      invariant(
        this.#references[page] === references[page],
        `page ${page} has ${this.#references[page]} references, tables hold it ${references[page]} times`,
      );
      const isFree = page >= this.#firstNew || free.has(page);
      invariant(isFree === (references[page] === 0 && hash === undefined), `page ${page} is wrongly free or not`);
      invariant(cached.has(page) === (references[page] === 0 && hash !== undefined), `page ${page} is wrongly cached or not`);
      invariant(hash === undefined || this.#pageByHash.get(hash) === page, `page ${page} is not found by its hash`);
    }
    invariant(this.#pageByHash.size === this.#hashes.filter((hash) => hash !== undefined).length, "a hash names a page that has another");
  }

  #takeNew(): number {
    const page = this.#firstNew++;
    this.#hashes.push(undefined);
    if (page < this.#references.length) return page;
    const capacity = Math.min(this.size, 2 * page);
    this.#references = grown(this.#references, new Int32Array(capacity));
    this.#steps = grown(this.#steps, new Float64Array(capacity));
    this.#free = grown(this.#free, new Int32Array(capacity));
    this.#next = grown(this.#next, new Int32Array(1 + capacity));
    this.#previous = grown(this.#previous, new Int32Array(1 + capacity));
    return page;
  }

  #evict(): number {
    const page = this.#next[0]! - 1;
    this.#unlink(page);
    this.#forgetHash(page);
    return page;
  }

  #forgetHash(page: number): void {
    this.#pageByHash.delete(this.#hashes[page]!);
    this.#hashes[page] = undefined;
  }

  #unlink(page: number): void {
    const [previous, next] = [this.#previous[page + 1]!, this.#next[page + 1]!];
    this.#next[previous] = next;
    this.#previous[next] = previous;
    this.#cachedCount -= 1;
  }

  #linkLast(page: number): void {
    const last = this.#previous[0]!;
    this.#next[last] = page + 1;
    this.#previous[page + 1] = last;
    this.#next[page + 1] = 0;
    this.#previous[0] = page + 1;
    this.#cachedCount += 1;
  }
}

function grown<T extends Int32Array | Float64Array>(from: T, to: T): T {
  to.set(from);
  return to;
}

/** Throws INTERNAL with `message` unless `condition` holds. */
export function invariant(condition: boolean, message: string): void {
  if (!condition) throw new KvasirError("INTERNAL", message);
}
