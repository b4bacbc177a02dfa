import { parentPort } from "node:worker_threads";
import { KvasirError } from "../errors.ts";
import type { WorkerReply } from "./worker-client.ts";

/** A result whose buffers move to the caller instead of being copied. */
export interface Transferred {
  result: unknown;
  transfer: ArrayBuffer[];
}

/** Answers one call: returns (or promises) the result, or throws. Calls come one at a time. */
export type Answer<Call> = (call: Call) => Transferred | Promise<Transferred>;

/** Runs this thread as a worker: `make` is given the first message and returns the function that answers the calls. */
export function serve<Data, Call>(make: (data: Data) => Answer<Call>): void {
  let answer: Answer<Call> | undefined;
  parentPort!.on("message", async (message) => {
    if (answer === undefined) {
      answer = make(message as Data);
      reply({ ready: true });
      return;
    }
    try {
      const { result, transfer } = await answer(message as Call);
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
