import { type ErrorCode, KvasirError } from "../errors.ts";
import { onAbort } from "../run/abort.ts";
import { TICK_MS, threadClock } from "./thread-clock.ts";
import { type Peer, startThread } from "./worker-peer.ts";

/** What a worker says: which thread it is (see `threadPath`), that it is ready, then an answer to each call. */
export type WorkerReply =
  | { thread: string | undefined }
  | { ready: true }
  | { result: unknown }
  | { error: { code: ErrorCode; message: string } };

/** How a worker is run. */
export interface WorkerSettings {
  /** Its module: see {@link workerUrl}. */
  module: URL;
  /** What it is made from: its first message. */
  data: unknown;
  /** Milliseconds of processor time until it has to be ready; past them it is ended. Default: no limit. */
  startDeadlineMs?: number | undefined;
  /** The error for a call during which the worker ended, `reason` being why. */
  failure(reason: string): KvasirError;
}

/** How one call is made. */
export interface CallOptions {
  /** Ends the call at once, and the worker with it. */
  signal?: AbortSignal;
  /** Milliseconds of processor time that it may take; past them the worker is ended. Default: no limit. */
  deadlineMs?: number;
}

type Settled = { result: unknown } | { error: KvasirError } | { aborted: unknown };

interface Call {
  argument: unknown;
  deadlineMs: number | undefined;
  settle(settled: Settled): void;
}

/**
 * A worker that answers one call at a time. It starts with the first call, does not keep the process alive while idle,
 * and when it ends (past a deadline, out of memory, its call aborted) only the call that it ran fails: the next one starts it anew.
 */
export class WorkerClient {
  readonly #settings: WorkerSettings;
  #call: Call | undefined;
  #peer: Peer | undefined;
  #started = false;
  #ready = false;
  /** The worker's: see {@link threadClock}. */
  #clock: () => number = () => performance.now();
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
    if (this.#closed === undefined && this.#peer === undefined) this.#start()?.hold(false);
  }

  /**
   * Rejects with the worker's error, with CLOSED, with what `failure` makes of the worker's end, with INTERNAL if it could not start, or with
   * the signal's reason. The call before has to be over.
   */
  async call<T>(argument: unknown, { signal, deadlineMs }: CallOptions = {}): Promise<T> {
    signal?.throwIfAborted();
    if (this.#closed !== undefined) throw closedError();
    const abort = (): void => void this.#end({ aborted: signal!.reason });
    if (signal !== undefined) onAbort(signal, abort);
    const settled = await new Promise<Settled>((settle) => {
      this.#call = { argument, deadlineMs, settle };
      (this.#peer ?? this.#start())?.hold(true);
      if (this.#ready) this.#send();
    });
    signal?.removeEventListener("abort", abort);
    if ("result" in settled) return settled.result as T;
    if ("aborted" in settled) throw settled.aborted;
    // Made here, after the await, so that its stack leads to the caller.
    throw new KvasirError(settled.error.code, settled.error.message, { cause: settled.error });
  }

  /** Ends the worker; a call under way, and those that come later, reject with CLOSED. */
  close(): Promise<void> {
    this.#closed ??= this.#end({ error: closedError() });
    return this.#closed;
  }

  /** `undefined`: that failed, and the call with it. */
  #start(): Peer | undefined {
    // A peer that was given up may still send something: it is ignored.
    const ifCurrent = (action: () => void): void => {
      if (this.#peer === peer) action();
    };
    let peer: Peer;
    try {
      peer = startThread(this.#settings.module, {
        message: (reply) => ifCurrent(() => this.#receive(reply as WorkerReply)),
        ended: (reason) => ifCurrent(() => this.#fail(reason)),
      });
    } catch (error) {
      this.#fail((error as Error).message);
      return undefined;
    }
    this.#peer = peer;
    peer.post(this.#settings.data);
    return peer;
  }

  #send(): void {
    if (this.#call === undefined) return;
    try {
      this.#peer!.post(this.#call.argument);
    } catch (error) {
      // What structured clone refuses: functions, symbols.
      this.#settle({ error: new KvasirError("INVALID_ARGUMENT", `expected JSON values: ${(error as Error).message}`) });
      return;
    }
    this.#limit(this.#call.deadlineMs);
  }

  /** Ends the worker if what it does now takes it longer than this. */
  #limit(deadlineMs: number | undefined): void {
    if (deadlineMs === undefined) return;
    const end = this.#clock() + deadlineMs;
    const look = (): void => {
      const left = end - this.#clock();
      // The peer keeps the process alive, if anything has to.
      if (left > 0) this.#deadline = setTimeout(look, Math.max(left, TICK_MS)).unref();
      else this.#fail(`it took more than ${deadlineMs} ms`);
    };
    look();
  }

  #receive(reply: WorkerReply): void {
    if ("thread" in reply) {
      this.#started = true;
      this.#clock = threadClock(reply.thread);
      this.#limit(this.#settings.startDeadlineMs);
    } else if ("ready" in reply) {
      this.#ready = true;
      clearTimeout(this.#deadline);
      this.#send();
    } else this.#settle("result" in reply ? reply : { error: new KvasirError(reply.error.code, reply.error.message) });
  }

  #fail(reason: string): void {
    const error = this.#started
      ? this.#settings.failure(reason)
      : new KvasirError("INTERNAL", `a thread of kvasir could not be started: ${reason}`);
    void this.#end({ error });
  }

  #settle(settled: Settled): void {
    clearTimeout(this.#deadline);
    this.#peer?.hold(false);
    this.#call?.settle(settled);
    this.#call = undefined;
  }

  async #end(settled: Settled): Promise<void> {
    const peer = this.#peer;
    this.#peer = undefined;
    this.#started = false;
    this.#ready = false;
    this.#settle(settled);
    await peer?.end();
  }
}

/** Of a call to a worker that was closed. */
export function closedError(): KvasirError {
  return new KvasirError("CLOSED", "the engine or tokenizer was closed");
}

/** The worker's module: compiled JavaScript, since Node 20 starts no worker from TypeScript; from a source tree it is the last build's. */
export function workerUrl(name: string): URL {
  return new URL(import.meta.url.endsWith(".ts") ? `../../dist/workers/${name}.js` : `./${name}.js`, import.meta.url);
}
