import type { Sequence } from "./sequence.ts";

/** A list of sequences by rank: higher priority first, then first come. A preempted sequence comes back to the place that it had. */
export type Queue = Sequence[];

/** Negative when `a` goes before `b`. */
export function rank(a: Sequence, b: Sequence): number {
  return b.options.priority - a.options.priority || a.order - b.order;
}

/** Puts a sequence in its place. */
export function insert(queue: Queue, sequence: Sequence): void {
  queue.splice(placeOf(queue, sequence), 0, sequence);
}

/** Takes out a sequence that is in the queue. */
export function remove(queue: Queue, sequence: Sequence): void {
  queue.splice(placeOf(queue, sequence), 1);
}

/** Where the sequence is, or belongs: after all that go before it. Most of those that come are the last, so that is looked at first. */
function placeOf(queue: Queue, sequence: Sequence): number {
  let [low, high] = [0, queue.length];
  let middle = high - 1;
  while (low < high) {
    if (rank(queue[middle]!, sequence) < 0) low = middle + 1;
    else high = middle;
    middle = (low + high) >> 1;
  }
  return low;
}
