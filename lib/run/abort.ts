import { setMaxListeners } from "node:events";

/** What `promise` gives, or a rejection with the signal's reason as soon as that aborts; the promise's own end is then ignored. */
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

/** Listens to a signal that many requests may share: Node's warning about eleven listeners, a leak elsewhere, is off for it. */
export function onAbort(signal: AbortSignal, listener: () => void): void {
  setMaxListeners(0, signal);
  signal.addEventListener("abort", listener);
}
