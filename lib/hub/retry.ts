import { setTimeout as sleep } from "node:timers/promises";
import { KvasirError } from "../errors.ts";
import type { Pace } from "./settings.ts";

/** A failure after which another attempt may go well. */
export class Transient extends Error {
  /** How long the server asks to wait; `undefined` where it doesn't say. */
  readonly waitMs: number | undefined;

  constructor(message: string, options: { cause?: unknown; waitMs?: number | undefined } = {}) {
    super(message, { cause: options.cause });
    this.waitMs = options.waitMs;
  }
}

/** Longest wait that a server may ask for. Chosen: the hub counts requests in windows of five minutes. */
const MAX_WAIT_MS = 300_000;

/**
 * Runs `work` until it goes well, or has failed `attempts` times in a row without calling `progressed`: then the last failure becomes
 * DOWNLOAD_FAILED. What isn't {@link Transient} is passed on at once.
 */
export async function retrying<T>(
  { attempts, retryMs }: Pick<Pace, "attempts" | "retryMs">,
  signal: AbortSignal | undefined,
  work: (progressed: () => void) => Promise<T>,
): Promise<T> {
  let failures = 0;
  for (;;) {
    signal?.throwIfAborted();
    try {
      return await work(() => {
        failures = 0;
      });
    } catch (error) {
      signal?.throwIfAborted();
      if (!(error instanceof Transient)) throw error;
      failures++;
      const waitMs = error.waitMs ?? retryMs * 2 ** (failures - 1);
      if (failures >= attempts || waitMs > MAX_WAIT_MS) throw new KvasirError("DOWNLOAD_FAILED", error.message, { cause: error.cause });
      await sleep(waitMs, undefined, signal && { signal }).catch(() => {});
    }
  }
}

/** Runs a task for each item, at most `width` at a time. The first failure stops all; it is thrown when none runs any more. */
export async function atOnce<Item>(
  items: readonly Item[],
  width: number,
  signal: AbortSignal | undefined,
  run: (item: Item, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  const both = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  let failure: { error: unknown } | undefined;
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length && failure === undefined) {
      try {
        await run(items[next++]!, both);
      } catch (error) {
        failure ??= { error };
        stop.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  if (failure !== undefined) throw failure.error;
}
