import { counted, KvasirError } from "../errors.ts";
import type { RepositoryCache } from "./cache.ts";
import type { HubAnswer, HubClient } from "./client.ts";
import type { HubFile } from "./listing.ts";
import { type Lock, withLock } from "./lock.ts";
import { type ByteRange, PartialFile } from "./partial.ts";
import { atOnce, retrying, Transient } from "./retry.ts";
import type { Pace } from "./settings.ts";

/** What downloads of one repository at one commit share. */
export interface Download {
  client: HubClient;
  cache: RepositoryCache;
  id: string;
  commit: string;
  pace: Pace;
  signal: AbortSignal | undefined;
  /** Told of bytes that are there, or that turned out wrong: then of less than none. */
  report: (bytes: number) => void;
}

/** Bytes that are gathered before they are written. Chosen: few writes, and a few megabytes for all connections together. */
const WRITE_BYTES = 1 << 20;

/** Gets a blob into the cache, whole and checked, by one downloader at a time; goes on where an earlier one was interrupted. */
export async function downloadBlob(download: Download, file: HubFile): Promise<void> {
  const { cache, pace, signal } = download;
  await retrying(pace, signal, () =>
    withLock(cache.lock(file.hash), pace.staleMs, signal, async (lock) => {
      // Whoever held the lock has it, most often.
      if (await cache.hasBlob(file)) return download.report(file.size);
      await fetchBlob(download, file, lock);
    }),
  );
}

/** What is wrong after all ranges came is got once more, from the start: a file may have changed between two of them. */
async function fetchBlob(download: Download, file: HubFile, lock: Lock): Promise<void> {
  const blob = download.cache.blob(file.hash);
  for (const isLast of [false, true]) {
    const partial = await PartialFile.open(file, blob, download.pace.partBytes);
    try {
      download.report(partial.bytes);
      await new BlobDownload(download, file, partial).fill();
      const isRight = await partial.isRight(download.signal);
      await lock.check().catch((error) => {
        download.report(-partial.bytes);
        throw error;
      });
      if (isRight) return await partial.finish();
      download.report(-partial.bytes);
    } finally {
      await partial.close();
    }
    await PartialFile.discard(blob);
    if (isLast) throw wrongSum(download, file);
  }
}

function wrongSum({ id, commit, cache }: Download, { path, hash }: HubFile): KvasirError {
  const kind = hash.length === 64 ? "SHA-256" : "SHA-1";
  return new KvasirError(
    "CHECKSUM_MISMATCH",
    `model ${id}: ${path} of ${commit} came twice with another ${kind} than ${hash}; a proxy or a mirror changes it, or ${cache.folder} is on a failing disk`,
  );
}

/** Fills a partial file from ranges that come at the same time. */
class BlobDownload {
  readonly #download: Download;
  readonly #file: HubFile;
  readonly #partial: PartialFile;
  readonly #path: string;

  constructor(download: Download, file: HubFile, partial: PartialFile) {
    this.#download = download;
    this.#file = file;
    this.#partial = partial;
    this.#path = `/${download.id}/resolve/${download.commit}/${file.path.split("/").map(encodeURIComponent).join("/")}`;
  }

  /** The first answer shows whether the server gives ranges; if not, it is read to the end of the file. */
  async fill(): Promise<void> {
    const { pace, signal } = this.#download;
    const [first, ...others] = this.#partial.missing();
    if (first === undefined) return;
    const answer = await retrying(pace, signal, () => this.#ask(first, signal));
    if (answer.status === 200) return this.#part({ start: 0, end: this.#file.size }, signal, answer);
    await atOnce([first, ...others], pace.connections, signal, (part, signal) =>
      this.#part(part, signal, part === first ? answer : undefined),
    );
  }

  /** Gets a range, from where it is not there yet; `opened` is the answer to read first. */
  async #part(part: ByteRange, signal: AbortSignal | undefined, opened?: HubAnswer): Promise<void> {
    let ready = opened;
    await retrying(this.#download.pace, signal, async (progressed) => {
      if (this.#partial.frontier(part) === part.end) return;
      const answer = ready ?? (await this.#ask(part, signal));
      ready = undefined;
      await this.#copy(answer, part, progressed);
      const frontier = this.#partial.frontier(part);
      if (frontier < part.end) throw new Transient(`${answer.place} ended ${this.#file.path} at byte ${frontier} of ${this.#file.size}`);
    });
  }

  async #ask(part: ByteRange, signal: AbortSignal | undefined): Promise<HubAnswer> {
    const start = this.#partial.frontier(part);
    const isWhole = start === 0 && part.end === this.#file.size;
    const answer = await this.#download.client.get(this.#path, isWhole ? undefined : `bytes=${start}-${part.end - 1}`, signal);
    const wrong = this.#wrongIn(answer, start);
    if (wrong === undefined) return answer;
    answer.cancel();
    throw wrong;
  }

  /** What an answer says that isn't what the listing says, or what was asked. */
  #wrongIn({ status, headers, etag, place }: HubAnswer, start: number): Error | undefined {
    const { path, hash, size } = this.#file;
    if (etag !== undefined && etag.length === hash.length && etag !== hash)
      return new Transient(`${place} has ${path} with the ETag ${etag}; expected ${hash}, as listed`);
    const length = headers.get("content-length");
    if (status === 200 && length !== null && !headers.has("content-encoding") && Number(length) !== size)
      return new Transient(`${place} has ${counted(Number(length), "byte")} of ${path}; expected ${size}, as listed`);
    if (status === 200) return undefined;
    const range = headers.get("content-range") ?? "";
    const [, from, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(range) ?? [];
    if (Number(from) === start && (total === "*" || Number(total) === size)) return undefined;
    return new Transient(`${place} sent Content-Range "${range}" of ${path}; expected bytes from ${start} of ${size}`);
  }

  /** Writes what a body has of a range to its place; a whole file's begins before it. */
  async #copy(answer: HubAnswer, part: ByteRange, progressed: () => void): Promise<void> {
    let position = answer.status === 200 ? 0 : this.#partial.frontier(part);
    let waiting: Uint8Array[] = [];
    let bytes = 0;
    const flush = async (): Promise<void> => {
      const gathered = Buffer.concat(waiting).subarray(0, part.end - position);
      [waiting, bytes] = [[], 0];
      const taken = await this.#partial.take(position, gathered, part);
      position += gathered.length;
      if (taken > 0) progressed();
      this.#download.report(taken);
    };
    try {
      for await (const chunk of answer.chunks()) {
        waiting.push(chunk);
        bytes += chunk.length;
        if (bytes >= WRITE_BYTES || position + bytes >= part.end) await flush();
        if (position >= part.end) return;
      }
    } finally {
      // What came before a connection broke counts, too.
      if (bytes > 0) await flush();
    }
  }
}
