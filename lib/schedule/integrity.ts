import { counted } from "../errors.ts";
import { invariant } from "./pages.ts";
import { type Queue, rank } from "./queue.ts";
import type { Sequence } from "./sequence.ts";

/** What holds for every sequence between any two calls of the scheduler; INTERNAL is thrown where it doesn't. For tests. */

/** Throws INTERNAL unless the sequences that wait are in order and hold nothing but what they may. */
export function checkWaiting(waiting: Queue): void {
  checkOrder(waiting);
  for (const sequence of waiting) {
    const { id, state, slot, computed, pages, options, sampling } = sequence;
    const choosing = options.output === "logits" && sampling > 0;
    const holds = (slot !== -1) !== choosing || computed > 0 || pages.some(({ count }) => count > 0);
    invariant(state === "waiting" && !holds, `waiting sequence ${id} holds something`);
    checkAsked(sequence);
  }
}

/** Throws INTERNAL unless the sequences that run are in order and have computed no more than tokens that they have or will have. */
export function checkRunning(running: Queue): void {
  checkOrder(running);
  for (const sequence of running) {
    const { id, state, computed, length, sampling } = sequence;
    invariant(state === "running" && computed <= length + sampling, `running sequence ${id} computed more than its tokens`);
    checkAsked(sequence);
  }
}

function checkOrder(queue: Queue): void {
  invariant(
    queue.every((sequence, i) => i === 0 || rank(queue[i - 1]!, sequence) < 0),
    "a queue is out of order",
  );
}

function checkAsked({ id, sampling, asked, held }: Sequence): void {
  const sum = asked.reduce((total, count) => total + count, 0);
  invariant(
    sampling === sum && (sum > 0 || !held),
    `sequence ${id} waits for ${counted(sampling, "token")}, but its rows asked for ${sum}`,
  );
  invariant(
    asked.slice(0, -1).every((count) => count === 1),
    `sequence ${id} ran on after a row that asked for several tokens`,
  );
}
