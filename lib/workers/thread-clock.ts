import { readFileSync, readlinkSync } from "node:fs";

/** Milliseconds of the unit in which Linux tells processor time (USER_HZ is 100 on all its platforms). */
export const TICK_MS = 10;

/** Where Linux tells of the thread that calls this; `undefined` where it doesn't. */
export function threadPath(): string | undefined {
  try {
    return `/proc/${readlinkSync("/proc/thread-self")}`;
  } catch {
    return undefined;
  }
}

/**
 * A clock that shows the milliseconds of processor time that a thread has taken: a busy machine or a slow disk is not its fault. Where
 * there is no such clock, the time of day counts. A thread that has ended has taken all there is.
 */
export function threadClock(path: string | undefined): () => number {
  if (path === undefined) return () => performance.now();
  return () => {
    try {
      const stat = readFileSync(`${path}/stat`, "latin1");
      // Behind the name, in parentheses, which may hold anything: state is field 3, times in user and system mode are 14 and 15.
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  };
}
