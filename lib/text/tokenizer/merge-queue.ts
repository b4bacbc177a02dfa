/** Positions are below 2^27, ranks below 2^25: both fit one exact double. */
const POSITIONS = 2 ** 27;

/**
 * Merges that may be made: the lowest rank comes first, the leftmost among equals. A 4-ary heap of doubles, rank * 2^27 + position, in one array
 * that is kept from text to text.
 */
export class MergeQueue {
  #heap: Float64Array = new Float64Array(64);
  #size = 0;
  /** Of the merge that {@link pop} took. */
  rank = 0;
  position = 0;

  clear(): void {
    this.#size = 0;
  }

  push(rank: number, position: number): void {
    if (this.#size === this.#heap.length) this.#grow();
    const heap = this.#heap;
    const entry = rank * POSITIONS + position;
    let i = this.#size++;
    while (i > 0) {
      const parent = (i - 1) >> 2;
      if (heap[parent]! <= entry) break;
      heap[i] = heap[parent]!;
      i = parent;
    }
    heap[i] = entry;
  }

  /** Takes the first merge, into `rank` and `position`; false if there is none. */
  pop(): boolean {
    if (this.#size === 0) return false;
    const heap = this.#heap;
    const first = heap[0]!;
    this.rank = Math.floor(first / POSITIONS);
    this.position = first - this.rank * POSITIONS;
    const size = --this.#size;
    const entry = heap[size]!;
    let i = 0;
    for (let child = 1; child < size; child = 4 * i + 1) {
      let least = child;
      for (let other = child + 1; other < child + 4 && other < size; other++) if (heap[other]! < heap[least]!) least = other;
      if (heap[least]! >= entry) break;
      heap[i] = heap[least]!;
      i = least;
    }
    heap[i] = entry;
    return true;
  }

  #grow(): void {
    const larger = new Float64Array(2 * this.#heap.length);
    larger.set(this.#heap);
    this.#heap = larger;
  }
}
