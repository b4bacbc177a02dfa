import { setImmediate } from "node:timers/promises";

/** How many fail in one turn of the event loop. Chosen: some milliseconds. */
const FAILED_AT_ONCE = 500;

/** Fails what waits (requests, calls), some in each turn of the event loop: the first at once. */
export async function failInTurns<Waiting>(waiting: readonly Waiting[], fail: (one: Waiting) => void): Promise<void> {
  for (const [i, one] of waiting.entries()) {
    if (i > 0 && i % FAILED_AT_ONCE === 0) await setImmediate();
    fail(one);
  }
}
