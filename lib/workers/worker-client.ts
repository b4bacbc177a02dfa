import { type ErrorCode, KvasirError } from "../errors.ts";
import { onAbort } from "../run/abort.ts";
import type { Peer, StartPeer } from "./worker-peer.ts";

/** What a worker says: first that it is ready, then an answer to each call. */
export type WorkerReply = { ready: true } | { result: unknown } | { error: { code: ErrorCode; message: string } };

/** How a worker is run. */
export interface WorkerSettings {
  /** Its module: see {@link workerUrl}. */
  module: URL;
  /** As a thread or as a process. */
  start: StartPeer;
  /** What it is made from: its first message. */
  data: unknown;
  /** The error for a call during which the worker ended, `reason` being why. */
  failure(reason: string): KvasirError;
}

/** What limits one call. */
export interface CallOptions {
  /** Milliseconds that it may take once it runs; past them the worker is ended. Default: no limit. */
  deadlineMs?: number;
  /** Ends the call: it rejects with the signal's reason at once. */
  signal?: AbortSignal | undefined;
}

/** Milliseconds that a worker may take to get ready. Chosen: reading the largest vocabularies takes seconds on a slow machine. */
const START_MS = 60_000;

/** Milliseconds after which an aborted call's worker is ended; most calls end sooner by themselves, which saves starting it anew. */
const ABORT_MS = 20;

type Settled = { result: unknown } | { error: unknown };

interface Call extends CallOptions {
  argument: unknown;
  settle(settled: Settled): void;
}

/**
 * A worker that answers one call after the other. It starts with the first call, does not keep the process alive while idle,
 * and when it ends (past a deadline, out of memory, for an aborted call) only the call that it ran fails: the next one starts it anew.
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

  /** Rejects with the worker's error, with CLOSED, with the signal's reason, or with what `failure` makes of the worker's end. */
  async call<T>(argument: unknown, options: CallOptions = {}): Promise<T> {
    const { signal } = options;
    signal?.throwIfAborted();
    let stop = (): void => {};
    const settled = await new Promise<Settled>((settle) => {
      const call: Call = { ...options, argument, settle };
      stop = () => this.#abort(call);
      if (signal !== undefined) onAbort(signal, stop);
      this.#waiting.push(call);
      this.#advance();
    });
    signal?.removeEventListener("abort", stop);
    if ("result" in settled) return settled.result as T;
    const { error } = settled;
    // Made here, after the await, so that its stack leads to the caller.
    throw error instanceof KvasirError ? new KvasirError(error.code, error.message, { cause: error }) : error;
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
    if (this.#current !== undefined) this.#peer ??= this.#start();
    this.#peer?.hold(this.#current !== undefined);
    if (this.#ready) this.#send();
  }

  #start(): Peer {
    const { start, module, data } = this.#settings;
    // A peer that was given up may still send something: it is ignored.
    const ifCurrent = (action: () => void): void => {
      if (this.#peer === peer) action();
    };
    const peer: Peer = start(module, {
      message: (reply) => ifCurrent(() => this.#receive(reply as WorkerReply)),
      ended: (reason) => ifCurrent(() => this.#fail(reason)),
    });
    peer.post(data);
    this.#endAfter(START_MS);
    return peer;
  }

  /** The call is over for its caller at once; where it runs, its worker gets a moment to end it. */
  #abort(call: Call): void {
    const waiting = this.#waiting.indexOf(call);
    if (waiting >= 0) this.#waiting.splice(waiting, 1);
    else if (call === this.#current && this.#ready) this.#endAfter(ABORT_MS);
    call.settle({ error: call.signal?.reason });
  }

  #send(): void {
    clearTimeout(this.#deadline);
    const call = this.#current;
    if (call === undefined) return;
    if (call.signal?.aborted) {
      this.#current = undefined;
      this.#advance();
      return;
    }
    try {
      this.#peer?.post(call.argument);
    } catch (error) {
      // What structured clone refuses: functions, symbols.
      this.#settle({ error: new KvasirError("INVALID_ARGUMENT", `expected JSON values: ${(error as Error).message}`) });
      this.#advance();
      return;
    }
    if (call.deadlineMs !== undefined) this.#endAfter(call.deadlineMs);
  }

  #endAfter(milliseconds: number): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#fail(`it ran past its deadline of ${milliseconds} ms`), milliseconds);
  }

  #receive(reply: WorkerReply): void {
    if ("ready" in reply) {
      this.#ready = true;
      this.#send();
      return;
    }
    // What can't get ready is started anew for the next call: its files may have changed by then.
    if ("error" in reply && !this.#ready) void this.#end();
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
