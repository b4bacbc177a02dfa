import { type ErrorCode, KvasirError } from "../errors.ts";
import { onAbort } from "../run/abort.ts";
import { type Peer, startThread } from "./worker-peer.ts";

/** What a worker says: first that it is ready, then an answer to each call. */
export type WorkerReply = { ready: true } | { result: unknown } | { error: { code: ErrorCode; message: string } };

/** How a worker is run. */
export interface WorkerSettings {
  /** Its module: see {@link workerUrl}. */
  module: URL;
  /** What it is made from: its first message. */
  data: unknown;
  /** Milliseconds until it has to be ready; past them it is ended. Default: no limit. */
  startDeadlineMs?: number | undefined;
  /** The error for a call during which the worker ended, `reason` being why. */
  failure(reason: string): KvasirError;
}

/** How one call is made. */
export interface CallOptions {
  /** Ends the call at once, and the worker if it runs it. */
  signal?: AbortSignal;
  /** Milliseconds that it may take once it runs; past them the worker is ended. Default: no limit. */
  deadlineMs?: number;
}

type Settled = { result: unknown } | { error: KvasirError } | { aborted: unknown };

interface Call extends CallOptions {
  argument: unknown;
  settle(settled: Settled): void;
}

/**
 * A worker that answers one call after the other. It starts with the first call, does not keep the process alive while idle,
 * and when it ends (past a deadline, out of memory, its call aborted) only the call that it ran fails: the next one starts it anew.
 */
export class WorkerClient {
  readonly #settings: WorkerSettings;
  readonly #waiting: Call[] = [];
  #current: Call | undefined;
  #peer: Peer | undefined;
  #ready = false;
  #deadline: NodeJS.Timeout | undefined;
  #closed: Promise<void> | undefined;

  constructor(settings: WorkerSettings) {
    this.#settings = settings;
  }

  /** Whether it has started. */
  get ready(): boolean {
    return this.#ready;
  }

  /** Starts it before its first call. */
  warm(): void {
    if (this.#closed !== undefined || this.#peer !== undefined) return;
    this.#start();
    this.#peer!.hold(false);
  }

  /** Rejects with the worker's error, with CLOSED, with what `failure` makes of the worker's end, or with the signal's reason. */
  async call<T>(argument: unknown, options: CallOptions = {}): Promise<T> {
    const { signal } = options;
    signal?.throwIfAborted();
    let abort: (() => void) | undefined;
    const settled = await new Promise<Settled>((settle) => {
      const call: Call = { argument, ...options, settle };
      abort = () => this.#abort(call, signal?.reason);
      if (signal !== undefined) onAbort(signal, abort);
      this.#waiting.push(call);
      this.#advance();
    });
    signal?.removeEventListener("abort", abort!);
    if ("result" in settled) return settled.result as T;
    if ("aborted" in settled) throw settled.aborted;
    // Made here, after the await, so that its stack leads to the caller.
    throw new KvasirError(settled.error.code, settled.error.message, { cause: settled.error });
  }

  /** Ends the worker; calls that wait or come later reject with CLOSED. */
  close(): Promise<void> {
    if (this.#closed === undefined) {
      this.#closed = this.#end();
      this.#advance();
    }
    return this.#closed;
  }

  #advance(): void {
    while (this.#closed !== undefined && (this.#current ?? this.#waiting[0]) !== undefined) {
      this.#current ??= this.#waiting.shift();
      this.#settle({ error: new KvasirError("CLOSED", "the engine was closed") });
    }
    if (this.#current !== undefined || this.#closed !== undefined) return;
    this.#current = this.#waiting.shift();
    if (this.#current !== undefined && this.#peer === undefined) this.#start();
    this.#peer?.hold(this.#current !== undefined);
    if (this.#ready) this.#send();
  }

  #abort(call: Call, reason: unknown): void {
    const place = this.#waiting.indexOf(call);
    if (place >= 0) this.#waiting.splice(place, 1);
    else if (call === this.#current) {
      void this.#end();
      this.#settle({ aborted: reason });
      this.#advance();
      return;
    }
    call.settle({ aborted: reason });
  }

  #start(): void {
    const { module, data, startDeadlineMs } = this.#settings;
    // A peer that was given up may still send something: it is ignored.
    const ifCurrent = (action: () => void): void => {
      if (this.#peer === peer) action();
    };
    const peer: Peer = startThread(module, {
      message: (reply) => ifCurrent(() => this.#receive(reply as WorkerReply)),
      ended: (reason) => ifCurrent(() => this.#fail(reason)),
    });
    this.#peer = peer;
    this.#limit(startDeadlineMs);
    peer.post(data);
  }

  #send(): void {
    if (this.#current === undefined) return;
    try {
      this.#peer?.post(this.#current.argument);
    } catch (error) {
      // What structured clone refuses: functions, symbols.
      this.#settle({ error: new KvasirError("INVALID_ARGUMENT", `expected JSON values: ${(error as Error).message}`) });
      this.#advance();
      return;
    }
    this.#limit(this.#current.deadlineMs);
  }

  /** Ends the worker if it takes longer than this for what it does now. */
  #limit(deadlineMs: number | undefined): void {
    clearTimeout(this.#deadline);
    if (deadlineMs === undefined) return;
    this.#deadline = setTimeout(() => this.#fail(`it ran past its deadline of ${deadlineMs} ms`), deadlineMs);
    // The peer keeps the process alive, if anything has to.
    this.#deadline.unref();
  }

  #receive(reply: WorkerReply): void {
    if ("ready" in reply) {
      this.#ready = true;
      clearTimeout(this.#deadline);
      this.#send();
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

  #settle(settled: Settled): void {
    clearTimeout(this.#deadline);
    this.#current?.settle(settled);
    this.#current = undefined;
  }

  async #end(): Promise<void> {
    clearTimeout(this.#deadline);
    const peer = this.#peer;
    this.#peer = undefined;
    this.#ready = false;
    await peer?.end();
  }
}

/** The worker's module: compiled JavaScript, since Node 20 starts no worker from TypeScript; from a source tree it is the last build's. */
export function workerUrl(name: string): URL {
  return new URL(import.meta.url.endsWith(".ts") ? `../../dist/workers/${name}.js` : `./${name}.js`, import.meta.url);
}
