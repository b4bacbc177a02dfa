import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll } from "vitest";

/** A request as a server saw it. */
export interface Seen {
  server: "hub" | "storage";
  /** With the query. */
  path: string;
  authorization: string | undefined;
  range: string | undefined;
}

/** What a fake hub has under a name. */
interface Repository {
  commit: string;
  files: Map<string, Buffer>;
}

/** Does what a test wants of a request; `false` leaves it to the hub. `content` is the file that is asked for, if one is. */
export type Intercept = (seen: Seen, response: ServerResponse, content: Buffer | undefined) => boolean | Promise<boolean>;

/** A hub on the loopback: its API and small files on one port, large files behind redirects on another, which stands for another host. */
export class FakeHub {
  readonly seen: Seen[] = [];
  intercept: Intercept = () => false;
  readonly #repositories = new Map<string, Repository>();
  readonly #hub: Server;
  readonly #storage: Server;

  private constructor() {
    this.#hub = createServer((request, response) => void this.#answer("hub", request, response));
    this.#storage = createServer((request, response) => void this.#answer("storage", request, response));
  }

  /** A hub that runs until the test file ends. */
  static async start(): Promise<FakeHub> {
    const hub = new FakeHub();
    await Promise.all([listen(hub.#hub), listen(hub.#storage)]);
    afterAll(() => hub.close());
    return hub;
  }

  close(): void {
    for (const server of [this.#hub, this.#storage]) {
      server.closeAllConnections();
      server.close();
    }
  }

  get endpoint(): string {
    return addressOf(this.#hub);
  }

  get storage(): string {
    return addressOf(this.#storage);
  }

  /** Puts a repository under a name; returns its commit. */
  add(id: string, files: Record<string, Buffer | string>): string {
    const contents = new Map(Object.entries(files).map(([path, content]) => [path, Buffer.from(content as string)]));
    for (const [path, content] of contents) sibling(path, content);
    const sums = [...contents].map(([path, content]) => `${path} ${sha256(content)}`);
    const commit = createHash("sha1").update(sums.join("\n")).digest("hex");
    this.#repositories.set(id, { commit, files: contents });
    return commit;
  }

  /** Forgets requests and what was intercepted. */
  reset(): void {
    this.seen.length = 0;
    this.intercept = () => false;
  }

  /** Requests for files, in order. */
  fileRequests(server?: Seen["server"]): Seen[] {
    return this.seen.filter((seen) => !seen.path.startsWith("/api/") && (server === undefined || seen.server === server));
  }

  async #answer(server: Seen["server"], request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { authorization, range } = request.headers;
    const seen = { server, path: request.url!, authorization, range };
    this.seen.push(seen);
    response.on("error", () => {});
    const { pathname } = new URL(seen.path, this.endpoint);
    const content = this.#contentAt(pathname);
    if (await this.intercept(seen, response, content)) return;
    if (pathname.startsWith("/api/")) return this.#list(pathname, response);
    if (content === undefined) return void response.writeHead(404, { "x-error-code": "EntryNotFound" }).end();
    if (server === "storage") return send(response, content, range);
    if (!isLarge(pathname)) return send(response, content, range, { etag: `"${gitSha1(content)}"` });
    const headers = { location: `${this.storage}${pathname}?signature=secret`, "x-linked-etag": `"${sha256(content)}"` };
    response.writeHead(302, headers).end();
  }

  #contentAt(pathname: string): Buffer | undefined {
    const [, id, path] = /^\/([^/]+\/[^/]+)\/resolve\/[0-9a-f]{40}\/(.+)$/.exec(pathname) ?? [];
    return this.#repositories.get(id ?? "")?.files.get(decodeURIComponent(path ?? ""));
  }

  #list(pathname: string, response: ServerResponse): void {
    const [, id, revision] = /^\/api\/models\/([^/]+\/[^/]+)\/revision\/(.+)$/.exec(pathname) ?? [];
    const repository = this.#repositories.get(id ?? "");
    if (repository === undefined) return void response.writeHead(401, { "x-error-code": "RepoNotFound" }).end();
    const { commit, files } = repository;
    if (!["main", "v1.0", "refs/pr/1", commit].includes(decodeURIComponent(revision!)))
      return void response.writeHead(404, { "x-error-code": "RevisionNotFound" }).end();
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify({ sha: commit, siblings: [...files].map(([path, content]) => sibling(path, content)) }));
  }
}

/** Files that the hub keeps in its storage. */
function isLarge(path: string): boolean {
  return /\.(gguf|safetensors|bin)$/.test(path);
}

/** An entry of the listing. */
export function sibling(path: string, content: Buffer): object {
  const entry = { rfilename: path, size: content.length, blobId: gitSha1(content) };
  return isLarge(path) ? { ...entry, lfs: { sha256: sha256(content), size: content.length, pointerSize: 134 } } : entry;
}

/** Answers with a content, or the range of it that is asked for. */
export function send(response: ServerResponse, content: Buffer, range: string | undefined, headers: Record<string, string> = {}): void {
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(range ?? "") ?? [];
  if (from === undefined) return void response.writeHead(200, { ...headers, "content-length": content.length }).end(content);
  const end = Math.min(Number(to) + 1, content.length);
  const part = content.subarray(Number(from), end);
  const place = { "content-range": `bytes ${from}-${end - 1}/${content.length}`, "content-length": part.length };
  response.writeHead(206, { ...headers, ...place }).end(part);
}

export function sha256(content: Buffer): string {
  return sumOf(content, "sha256", "");
}

export function gitSha1(content: Buffer): string {
  return sumOf(content, "sha1", `blob ${content.length}\0`);
}

/** Sums of contents that were asked for before: the hub shares the event loop of what is tested. */
const SUMS = new WeakMap<Buffer, Record<string, string>>();

function sumOf(content: Buffer, algorithm: string, head: string): string {
  const sums = SUMS.get(content) ?? {};
  SUMS.set(content, sums);
  sums[algorithm] ??= createHash(algorithm).update(head).update(content).digest("hex");
  return sums[algorithm];
}

/** Bytes that look random and are the same each time. */
export function noise(bytes: number, seed: number = 1): Buffer {
  const chunks = Array.from({ length: Math.ceil(bytes / 32) }, (_, i) => createHash("sha256").update(`${seed} ${i}`).digest());
  return Buffer.concat(chunks).subarray(0, bytes);
}

function listen(server: Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
