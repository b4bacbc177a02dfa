import { availableParallelism } from "node:os";
import { type CallOptions, WorkerClient, type WorkerSettings } from "./worker-client.ts";

/** How a call is made of a {@link WorkerPool}. */
export interface PoolCallOptions extends CallOptions {
  /** Whether the call may take long: no other waits for it while there is a second worker. */
  long: boolean;
}

/** Two workers that answer the same calls, or one where there is one core: the first takes the long calls, so that the second never has one. */
export class WorkerPool {
  readonly #workers: readonly WorkerClient[];
  #longCalls = 0;

  constructor(settings: WorkerSettings) {
    this.#workers = Array.from({ length: Math.min(2, availableParallelism()) }, () => new WorkerClient(settings));
  }

  /** Starts all of them before their first call. */
  warm(): void {
    for (const worker of this.#workers) worker.warm();
  }

  /** As {@link WorkerClient.call}. */
  async call<T>(argument: unknown, { long, ...options }: PoolCallOptions): Promise<T> {
    const worker = this.#pick(long);
    if (!long) return worker.call<T>(argument, options);
    this.#longCalls++;
    try {
      return await worker.call<T>(argument, options);
    } finally {
      this.#longCalls--;
    }
  }

  /** Ends all of them: see {@link WorkerClient.close}. */
  async close(): Promise<void> {
    await Promise.all(this.#workers.map((worker) => worker.close()));
  }

  #pick(long: boolean): WorkerClient {
    const [first, second = first!] = this.#workers;
    if (long) return first!;
    if (this.#longCalls > 0) return second;
    return !first!.idle && (second.idle || second.pending < first!.pending) ? second : first!;
  }
}
