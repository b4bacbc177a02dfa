import { setMaxListeners } from "node:events";

/** As `promise`, unless the signal aborts first: then it rejects with the signal's reason at once, and how the promise ends is ignored. */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason);
    if (signal.aborted) stop();
    else onAbort(signal, stop);
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop!);
  }
}

/** Listens to a signal. Many requests may share one: Node's warning about more than ten listeners, a sign of leaks, is turned off for it. */
export function onAbort(signal: AbortSignal, listener: () => void): void {
  setMaxListeners(0, signal);
  signal.addEventListener("abort", listener);
}
