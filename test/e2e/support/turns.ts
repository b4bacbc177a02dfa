import { readFileSync } from "node:fs";

/**
 * Milliseconds of processor time that this process's main thread has had, where Linux tells: what other programs of the machine take doesn't
 * count. Otherwise the time.
 */
function now(): number {
  try {
    return Number(readFileSync("/proc/self/schedstat", "latin1").split(" ", 1)[0]) / 1e6;
  } catch {
    return performance.now();
  }
}

/** Milliseconds of the longest turn of the event loop while `work` runs: how long everything else in the process had to wait. */
export async function longestTurn(work: () => Promise<unknown>): Promise<number> {
  let [longest, last, done] = [0, now(), false];
  const beat = (): void => {
    const time = now();
    longest = Math.max(longest, time - last);
    last = time;
    if (!done) setImmediate(beat);
  };
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  setImmediate(beat);
  await turn();
  longest = 0;
  await work();
  await turn(); // the one in which the work ended counts, too
  done = true;
  beat();
  return longest;
}

/** The least of a few rounds, since the first ones compile; ends with the first that is short enough. */
export async function leastLongestTurn(work: () => Promise<unknown>, enough: number, rounds = 5): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds && least > enough; round++) least = Math.min(least, await longestTurn(work));
  return least;
}
