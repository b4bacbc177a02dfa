import { KvasirError, show } from "../errors.ts";
import type { HubName } from "./names.ts";
import { Transient } from "./retry.ts";
import type { HubSettings } from "./settings.ts";

/** What a server sent: its head, and the body to be read once. */
export interface HubAnswer {
  status: number;
  headers: Headers;
  /** The model and who answered, for messages: addresses of storage carry signatures, their host doesn't. */
  place: string;
  /** What the hub says that the content is, a blob's name; `undefined` where it doesn't. */
  etag: string | undefined;
  /** The body, chunk by chunk; ended early, the connection is closed. */
  chunks(): AsyncGenerator<Uint8Array, void>;
  /** Closes the connection without reading. */
  cancel(): void;
}

const MAX_REDIRECTS = 10;

/** Asks the hub about one model. Each request is one attempt: failures that may pass are {@link Transient}. */
export class HubClient {
  readonly #settings: HubSettings;
  readonly #name: HubName;

  constructor(settings: HubSettings, name: HubName) {
    this.#settings = settings;
    this.#name = name;
  }

  /** GET of a path of the hub, redirects followed; status 200 or 206. */
  async get(path: string, range: string | undefined, signal: AbortSignal | undefined): Promise<HubAnswer> {
    const silence = new Silence(this.#settings.pace.silenceMs, signal);
    try {
      return await this.#follow(new URL(this.#settings.endpoint + path), range, silence);
    } catch (error) {
      silence.end();
      throw error;
    }
  }

  /** By hand, since what may be sent depends on where it goes. */
  async #follow(start: URL, range: string | undefined, silence: Silence): Promise<HubAnswer> {
    let url = start;
    let etag: string | undefined;
    for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
      const response = await this.#fetch(url, range, silence);
      const { status, headers } = response;
      const isHub = this.#isHub(url);
      if (isHub) etag = hashIn(headers.get("x-linked-etag")) ?? etag;
      const location = headers.get("location");
      if (status < 300 || status > 399 || location === null) {
        if (isHub) etag ??= hashIn(headers.get("etag"));
        return this.#answer(response, url, etag, silence);
      }
      await response.body?.cancel();
      url = this.#next(url, location);
    }
    throw new KvasirError("DOWNLOAD_FAILED", `${this.#place(url)} leads on more than ${MAX_REDIRECTS} times; check HF_ENDPOINT`);
  }

  async #fetch(url: URL, range: string | undefined, silence: Silence): Promise<Response> {
    const headers: Record<string, string> = { "user-agent": "kvasir", "accept-encoding": "identity" };
    if (range !== undefined) headers.range = range;
    const { token } = this.#settings;
    if (token !== undefined && this.#isHub(url)) headers.authorization = `Bearer ${token}`;
    try {
      const response = await fetch(url, { headers, redirect: "manual", signal: silence.signal });
      silence.heard();
      return response;
    } catch (cause) {
      throw silence.failure(this.#place(url), cause);
    }
  }

  /** Whether an address is the hub's own: scheme, host and port. The token goes there alone. */
  #isHub(url: URL): boolean {
    return url.origin === new URL(this.#settings.endpoint).origin;
  }

  #next(from: URL, location: string): URL {
    const url = URL.canParse(location, from.href) ? new URL(location, from) : undefined;
    const isSafe = url?.protocol === "https:" || (url?.protocol === "http:" && from.protocol === "http:");
    if (url === undefined || !isSafe)
      throw new KvasirError("DOWNLOAD_FAILED", `${this.#place(from)} leads to ${show(url?.protocol ?? location)}; expected https`);
    return url;
  }

  #answer(response: Response, url: URL, etag: string | undefined, silence: Silence): HubAnswer {
    const { status, headers, body } = response;
    const place = this.#place(url);
    const cancel = (): void => {
      silence.end();
      body?.cancel().catch(() => {});
    };
    if (status !== 200 && status !== 206) {
      cancel();
      throw this.#refusal(response, url);
    }
    async function* chunks(): AsyncGenerator<Uint8Array, void> {
      try {
        for await (const chunk of body ?? []) {
          silence.heard();
          yield chunk;
        }
      } catch (cause) {
        throw silence.failure(place, cause);
      } finally {
        silence.end();
      }
    }
    return { status, headers, place, etag, chunks, cancel };
  }

  /** Storage refuses where a signed address has expired: the hub gives another. */
  #refusal({ status, headers }: Response, url: URL): Error {
    const said = headers.get("x-error-message");
    const place = `${this.#place(url)} answered ${status}${said === null ? "" : `, ${show(said)}`}`;
    if (status === 408 || status === 416 || status === 429 || status >= 500 || !this.#isHub(url))
      return new Transient(place, { waitMs: waitOf(headers.get("retry-after")) });
    const code = headers.get("x-error-code");
    if (status === 401 || status === 403) return new KvasirError("ACCESS_DENIED", `${place}: ${this.#denial(status, code)}`);
    if (status === 404) return new KvasirError("MODEL_NOT_FOUND", `${place}: ${this.#absence(code)}`);
    return new KvasirError("DOWNLOAD_FAILED", `${place}; expected 200`);
  }

  #denial(status: number, code: string | null): string {
    const page = this.#page();
    const hasToken = this.#settings.token !== undefined;
    if (status === 403 || code === "GatedRepo")
      return `accept the model's conditions at ${page}, and ${hasToken ? "check that the token of HF_TOKEN is that account's and may read it" : "set HF_TOKEN"}`;
    if (hasToken) return `the token was refused; check HF_TOKEN, and the model's name at ${page}`;
    return `there is no such model, or it is not public; check its name at ${page}, or set HF_TOKEN`;
  }

  #absence(code: string | null): string {
    const { revision } = this.#name;
    if (code === "EntryNotFound") return `the revision ${revision} lacks a file that the hub lists; try again`;
    if (code === "RevisionNotFound" || (code === null && revision !== "main"))
      return `check that ${this.#page()}/tree/${revision} is there, the revision that is asked for`;
    return `check the name at ${this.#page()}; it is no path on this machine, either`;
  }

  #page(): string {
    return `${this.#settings.endpoint}/${this.#name.id}`;
  }

  #place(url: URL): string {
    return `model ${this.#name.id}: ${url.host}`;
  }
}

/** An ETag as the hub names blobs: SHA-1 or SHA-256 in hex; `undefined` for any other. */
function hashIn(etag: string | null): string | undefined {
  return /^(?:W\/)?"?([0-9a-f]{40}(?:[0-9a-f]{24})?)"?$/.exec(etag ?? "")?.[1];
}

/** Retry-After in milliseconds: seconds, or a date. */
function waitOf(text: string | null): number | undefined {
  if (text === null) return undefined;
  const waitMs = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(waitMs) ? undefined : Math.max(0, waitMs);
}

/** Ends a request on which nothing has come for a while, and tells that from the caller's own signal. */
class Silence {
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #callers: AbortSignal | undefined;
  readonly #timer: NodeJS.Timeout;
  readonly #ms: number;

  constructor(ms: number, signal: AbortSignal | undefined) {
    this.#ms = ms;
    this.#callers = signal;
    this.signal = signal === undefined ? this.#controller.signal : AbortSignal.any([signal, this.#controller.signal]);
    this.#timer = setTimeout(() => this.#controller.abort(), ms);
    // It ends connections, which keep the process alive themselves.
    this.#timer.unref();
  }

  heard(): void {
    this.#timer.refresh();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  /** What a failed request or body is thrown as. */
  failure(place: string, cause: unknown): unknown {
    this.end();
    if (this.#callers?.aborted) return this.#callers.reason;
    if (this.#controller.signal.aborted) return new Transient(`${place} was silent for ${this.#ms / 1000} s`, { cause });
    const { message, cause: reason } = cause as Error;
    const why = reason instanceof Error ? reason.message || (reason as NodeJS.ErrnoException).code : message;
    return new Transient(`${place} can't be reached or broke off: ${why}`, { cause });
  }
}
