import type { Sequence } from "./sequence.ts";

/** A list of sequences by rank: higher priority first, then first come. A preempted sequence comes back to the place that it had. */
export type Queue = Sequence[];

/** Negative when `a` goes before `b`. */
export function rank(a: Sequence, b: Sequence): number {
  return b.options.priority - a.options.priority || a.order - b.order;
}

/** Puts a sequence in its place; most of those that come are the last. */
export function insert(queue: Queue, sequence: Sequence): void {
  let i = queue.length;
  while (i > 0 && rank(sequence, queue[i - 1]!) < 0) i -= 1;
  queue.splice(i, 0, sequence);
}

/** Takes out a sequence that is in the queue. */
export function remove(queue: Queue, sequence: Sequence): void {
  queue.splice(queue.indexOf(sequence), 1);
}
