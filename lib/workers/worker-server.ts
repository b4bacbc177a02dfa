import { parentPort } from "node:worker_threads";
import { KvasirError } from "../errors.ts";
import { threadPath } from "./thread-clock.ts";
import type { WorkerReply } from "./worker-client.ts";

/** A result whose buffers move to the caller instead of being copied. */
export interface Transferred {
  result: unknown;
  transfer: ArrayBuffer[];
}

/** Answers one call: returns (or promises) the result, or throws. Calls come one at a time. */
export type Answer<Call> = (call: Call) => Transferred | Promise<Transferred>;

/**
 * Runs this thread as a worker: `make` is given the first message and returns (or promises) the function that answers the calls. What it
 * throws is the answer to all of them.
 */
export function serve<Data, Call>(make: (data: Data) => Answer<Call> | Promise<Answer<Call>>): void {
  let answer: Promise<Answer<Call>> | undefined;
  reply({ thread: threadPath() });
  parentPort!.on("message", async (message) => {
    if (answer === undefined) {
      answer = (async () => make(message as Data))();
      await answer.catch(() => {});
      reply({ ready: true });
      return;
    }
    try {
      const { result, transfer } = await (await answer)(message as Call);
      reply({ result }, transfer);
    } catch (error) {
      const { code, message: text } = error instanceof KvasirError ? error : new KvasirError("INTERNAL", String(error));
      reply({ error: { code, message: text } });
    }
  });
}

function reply(message: WorkerReply, transfer: ArrayBuffer[] = []): void {
  parentPort!.postMessage(message, transfer);
}
