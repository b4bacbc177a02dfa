import { fork, type StdioOptions } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

/** Receives a peer's messages, and once the reason why it ended. */
export interface PeerEvents {
  message(message: unknown): void;
  ended(reason: string): void;
}

/** The other side of a conversation: a thread or a process that runs one module of this folder. */
export interface Peer {
  /** Throws for what structured clone refuses. */
  post(message: unknown): void;
  /** Whether it keeps this process alive. */
  hold(alive: boolean): void;
  /** Resolves when it has ended. */
  end(): Promise<void>;
}

/** Starts a peer that runs `module` and reports to `events`. */
export type StartPeer = (module: URL, events: PeerEvents) => Peer;

/**
 * Megabytes of a thread's heap. Chosen: opening a vocabulary of 262,144 tokens takes some 300, the longest text under the oddest rules 900. That
 * nothing comes near it is for the caller to see to: V8 doesn't always end the thread alone.
 */
const THREAD_HEAP = 1024;

/** A thread: cheap, but what aborts it aborts this process. */
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

/** A process with a limit on its heap. V8 aborts when an allocation exceeds what is left: from a thread it would end this process, too. */
export function startProcess(heapMegabytes: number): StartPeer {
  return (module, events) => {
    const stdio: StdioOptions = ["ignore", "ignore", "ignore", "ipc"];
    const child = fork(fileURLToPath(module), { execArgv: [`--max-old-space-size=${heapMegabytes}`], serialization: "advanced", stdio });
    const exited = new Promise<void>((resolve) => {
      child.on("exit", () => resolve());
      child.on("error", () => resolve());
    });
    child.on("message", events.message);
    child.on("error", (error) => events.ended(error.message));
    child.on("exit", (code, signal) => events.ended(`its process ended with ${signal ?? `code ${code}`}`));
    return {
      // A broken channel is reported by "exit".
      post: (message) => void child.send(message as object, () => {}),
      hold: (alive) => {
        for (const handle of [child, child.channel]) alive ? handle?.ref() : handle?.unref();
      },
      end: async () => {
        child.ref();
        child.kill("SIGKILL");
        await exited;
      },
    };
  };
}
