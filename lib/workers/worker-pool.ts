import { availableParallelism } from "node:os";
import { untilAborted } from "../run/abort.ts";
import { failInTurns } from "../run/fail-in-turns.ts";
import { type CallOptions, closedError, WorkerClient, type WorkerSettings } from "./worker-client.ts";

/** Chosen: loading a model, and a process that answers once, aren't slowed down by a worker that they don't need. */
const WARM_DELAY_MS = 1000;

/** How a call is made of a {@link WorkerPool}. */
export interface PoolCallOptions extends CallOptions {
  /** Whether the call may take long: no short one waits for it while there is a second worker. */
  long: boolean;
}

interface Waiting {
  long: boolean;
  start(worker: WorkerClient): void;
  fail(reason: unknown): void;
}

/** Two workers that answer the same calls, or one where there is one core: all take short calls, the last one takes long ones, too. */
export class WorkerPool {
  readonly #workers: readonly WorkerClient[];
  readonly #free: Set<WorkerClient>;
  readonly #waiting: Waiting[] = [];
  #closed: Promise<void> | undefined;

  constructor(settings: WorkerSettings) {
    this.#workers = Array.from({ length: Math.min(2, availableParallelism()) }, () => new WorkerClient(settings));
    this.#free = new Set(this.#workers);
  }

  /** Starts those that no call has started, a while from now. */
  warm(): void {
    setTimeout(() => {
      for (const worker of this.#workers) worker.warm();
    }, WARM_DELAY_MS).unref();
  }

  /** As {@link WorkerClient.call}, by the first worker that is free for it. One that is aborted while it waits ends at once, too. */
  call<T>(argument: unknown, options: PoolCallOptions): Promise<T> {
    return untilAborted(this.#call(argument, options), options.signal);
  }

  /** Ends all of them (see {@link WorkerClient.close}), and rejects what waits with CLOSED. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const waiting = this.#waiting.splice(0);
    const ended = Promise.all(this.#workers.map((worker) => worker.close()));
    await failInTurns(waiting, ({ fail }) => fail(closedError()));
    await ended;
  }

  async #call<T>(argument: unknown, { long, ...options }: PoolCallOptions): Promise<T> {
    if (this.#closed !== undefined) throw closedError();
    const worker = await new Promise<WorkerClient>((start, fail) => {
      this.#waiting.push({ long, start, fail });
      this.#advance();
    });
    try {
      return await worker.call<T>(argument, options);
    } finally {
      this.#free.add(worker);
      this.#advance();
    }
  }

  #advance(): void {
    for (let i = 0; i < this.#waiting.length && this.#free.size > 0; ) {
      const waiting = this.#waiting[i]!;
      const worker = this.#workerFor(waiting);
      if (worker === undefined) i += 1;
      else {
        this.#free.delete(worker);
        this.#waiting.splice(i, 1);
        waiting.start(worker);
      }
    }
  }

  /** One that has started, if there is one. */
  #workerFor({ long }: Waiting): WorkerClient | undefined {
    const able = (long ? this.#workers.slice(-1) : this.#workers).filter((worker) => this.#free.has(worker));
    return able.find(({ ready }) => ready) ?? able[0];
  }
}
