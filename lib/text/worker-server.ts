import { parentPort } from "node:worker_threads";
import { KvasirError } from "../errors.ts";
import type { WorkerReply } from "./worker-client.ts";

/** A result whose buffers move to the caller instead of being copied. */
export interface Transferred {
  result: unknown;
  transfer: ArrayBuffer[];
}

/** Answers calls in this worker: `answer` returns (or promises) the result, or throws. Calls come one at a time. */
export function serve<T>(answer: (argument: T) => Transferred | Promise<Transferred>): void {
  const port = parentPort;
  if (port === null) throw new KvasirError("INTERNAL", "this module runs in a worker only");
  const reply = (message: WorkerReply, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);
  port.on("message", async (argument: T) => {
    try {
      const { result, transfer } = await answer(argument);
      reply({ result }, transfer);
    } catch (error) {
      const { code, message } = error instanceof KvasirError ? error : new KvasirError("INTERNAL", String(error));
      reply({ error: { code, message } });
    }
  });
  reply({ ready: true });
}
