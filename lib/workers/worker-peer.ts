import { fork, type StdioOptions } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";

/** What hears of a peer: its messages, and once why it ended. */
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

/** Starts a peer, for which the events are meant. */
export type StartPeer = (module: URL, events: PeerEvents) => Peer;

/** A thread: cheap, shares this process's fate. */
export function startThread(module: URL, events: PeerEvents): Peer {
  // The flags of this process may not fit a worker: `node --input-type=module` would make its start fail.
  const worker = new Worker(module, { execArgv: [] });
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

/** A process with a limit on its heap. V8 aborts where a single allocation exceeds what is left, and from a thread would take this process along. */
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
      // A broken channel is told by "exit".
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
