import { Worker } from "node:worker_threads";

/** Receives a peer's messages, and once the reason why it ended. */
export interface PeerEvents {
  message(message: unknown): void;
  ended(reason: string): void;
}

/** The other side of a conversation: a thread that runs one module of this folder. */
export interface Peer {
  /** Throws for what structured clone refuses. */
  post(message: unknown): void;
  /** Whether it keeps this process alive. */
  hold(alive: boolean): void;
  /** Resolves when it has ended. */
  end(): Promise<void>;
}

/**
 * Megabytes of a thread's heap. Chosen: opening a vocabulary of 262,144 tokens takes some 300, the longest text under the oddest rules 900. That
 * nothing comes near it is for the caller to see to: V8 doesn't always end the thread alone.
 */
const THREAD_HEAP = 1024;

/** Starts a thread that runs `module` and reports to `events`. What aborts it aborts this process. */
export function startThread(module: URL, events: PeerEvents): Peer {
  // The flags of this process may not fit a worker: `node --input-type=module` would make its start fail.
  const worker = new Worker(module, { execArgv: [], resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP } });
  worker.on("message", events.message);
  worker.on("error", (error) => events.ended(error.message));
  worker.on("exit", (code) => events.ended(`its thread ended with code ${code}`));
  return {
    post: (message) => worker.postMessage(message),
    hold: (alive) => (alive ? worker.ref() : worker.unref()),
    end: async () => {
      await worker.terminate();
    },
  };
}
