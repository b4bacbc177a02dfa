import { Worker, type WorkerOptions } from "node:worker_threads";
import { type ErrorCode, KvasirError } from "../errors.ts";

/** What a worker answers: its first message says that it is ready, each later one answers a call. */
export type WorkerReply = { ready: true } | { result: unknown } | { error: { code: ErrorCode; message: string } };

/** How a worker is run. */
export interface WorkerSettings {
  /** What it is made from, given to it as `workerData`. */
  data: unknown;
  /** Milliseconds that a call may take once it runs; past them the worker is ended. Default: no limit. */
  deadlineMs?: number;
  /** Megabytes of JavaScript heap; past them it ends. Default: Node's. */
  heapMegabytes?: number;
  /** The error for a call during which the worker ended, `reason` being why. */
  failure(reason: string): KvasirError;
}

interface Call {
  argument: unknown;
  settle(reply: { result: unknown } | { error: KvasirError }): void;
}

/**
 * A worker thread that answers one call after the other. It starts with the first call, does not keep the process alive while idle,
 * and when it ends (past a deadline, out of memory) only the call that it ran fails: the next one starts it anew.
 */
export class WorkerClient {
  readonly #url: URL;
  readonly #settings: WorkerSettings;
  readonly #waiting: Call[] = [];
  #current: Call | undefined;
  #worker: Worker | undefined;
  #ready = false;
  #deadline: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  constructor(url: URL, settings: WorkerSettings) {
    this.#url = url;
    this.#settings = settings;
  }

  /** Rejects with the worker's error, with CLOSED, or with what `failure` makes of the worker's end. */
  async call<T>(argument: unknown): Promise<T> {
    const reply = await new Promise<{ result: unknown } | { error: KvasirError }>((settle) => {
      this.#waiting.push({ argument, settle });
      this.#advance();
    });
    if ("result" in reply) return reply.result as T;
    // Made here, after the await, so that its stack leads to the caller.
    throw new KvasirError(reply.error.code, reply.error.message, { cause: reply.error });
  }

  /** Ends the worker; calls that wait or come later reject with CLOSED. */
  close(): Promise<void> {
    this.#closed ??= this.#end();
    this.#advance();
    return this.#closed;
  }

  #advance(): void {
    while (this.#closed !== undefined && (this.#current ?? this.#waiting[0]) !== undefined) {
      this.#current ??= this.#waiting.shift();
      this.#settle({ error: new KvasirError("CLOSED", "the engine was closed") });
    }
    if (this.#current !== undefined || this.#closed !== undefined) return;
    this.#current = this.#waiting.shift();
    if (this.#current === undefined) {
      this.#worker?.unref();
      return;
    }
    this.#worker ??= this.#start();
    this.#worker.ref();
    if (this.#ready) this.#send(this.#worker, this.#current);
  }

  #start(): Worker {
    const { data, heapMegabytes } = this.#settings;
    // The flags of this process may not fit a worker: `node --input-type=module` would make its start fail.
    const options: WorkerOptions = { workerData: data, execArgv: [] };
    if (heapMegabytes !== undefined) options.resourceLimits = { maxOldGenerationSizeMb: heapMegabytes };
    const worker = new Worker(this.#url, options);
    // A worker that was given up says nothing any more.
    const ifCurrent = (action: () => void) => this.#worker === worker && action();
    worker.on("message", (reply: WorkerReply) => ifCurrent(() => this.#receive(worker, reply)));
    worker.on("error", (error) => ifCurrent(() => this.#fail(error.message)));
    worker.on("exit", (code) => ifCurrent(() => this.#fail(`its thread ended with code ${code}`)));
    return worker;
  }

  #send(worker: Worker, call: Call): void {
    const { deadlineMs } = this.#settings;
    try {
      worker.postMessage(call.argument);
    } catch (error) {
      // What structured clone refuses: functions, symbols.
      this.#settle({ error: new KvasirError("INVALID_ARGUMENT", `only JSON values are right: ${(error as Error).message}`) });
      this.#advance();
      return;
    }
    if (deadlineMs !== undefined) this.#deadline = setTimeout(() => this.#fail(`it ran past its deadline of ${deadlineMs} ms`), deadlineMs);
  }

  #receive(worker: Worker, reply: WorkerReply): void {
    if ("ready" in reply) {
      this.#ready = true;
      if (this.#current !== undefined) this.#send(worker, this.#current);
      return;
    }
    this.#settle("result" in reply ? reply : { error: new KvasirError(reply.error.code, reply.error.message) });
    this.#advance();
  }

  #fail(reason: string): void {
    void this.#end();
    if (this.#current !== undefined) this.#settle({ error: this.#settings.failure(reason) });
    this.#advance();
  }

  #settle(reply: { result: unknown } | { error: KvasirError }): void {
    clearTimeout(this.#deadline);
    this.#current?.settle(reply);
    this.#current = undefined;
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#ready = false;
    await worker?.terminate();
  }
}

/** The worker's module: compiled JavaScript, since Node 20 starts no worker from TypeScript; from a source tree it is the last build's. */
export function workerUrl(name: string): URL {
  return new URL(import.meta.url.endsWith(".ts") ? `../../dist/text/${name}.js` : `./${name}.js`, import.meta.url);
}
