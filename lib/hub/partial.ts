import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { inCache, incompletePath } from "./disk.ts";
import type { HubFile } from "./listing.ts";

/** A range of a file, [start, end). */
export interface ByteRange {
  start: number;
  end: number;
}

/** Bytes that are read at a time to hash them. Chosen: hashing one takes the event loop less than a millisecond. */
const HASH_CHUNK = 1 << 18;

/**
 * A file that is being downloaded: its bytes where they belong in `BLOB.kvasir.incomplete`, and how many of each part are there in
 * `BLOB.kvasir.parts`, as u64: the size of a part, then a count for each. A count is written after its bytes, so that a killed process has
 * said too little at most; after a power failure it may have said too much, which the checksum finds out.
 *
 * The counts are removed before the file gets its name: whole and without them, it has only to be checked.
 */
export class PartialFile {
  readonly #file: HubFile;
  readonly #blob: string;
  readonly #data: FileHandle;
  readonly #counts: FileHandle | undefined;
  readonly #partBytes: number;
  /** Bytes there of each part, from its start. */
  readonly #done: number[];

  private constructor(file: HubFile, blob: string, data: FileHandle, counts: FileHandle | undefined, partBytes: number, done: number[]) {
    this.#file = file;
    this.#blob = blob;
    this.#data = data;
    this.#counts = counts;
    this.#partBytes = partBytes;
    this.#done = done;
  }

  /** Opens what an earlier attempt left, or begins. `blob` is the path that the whole file will have. */
  static async open(file: HubFile, blob: string, partBytes: number): Promise<PartialFile> {
    const path = incompletePath(blob);
    return inCache(path, async () => {
      const data = await openOrCreate(path);
      try {
        const { counts, done } = await openCounts(data, countsPath(blob), file.size, partBytes);
        return new PartialFile(file, blob, data, counts, partBytes, done);
      } catch (error) {
        await data.close();
        throw error;
      }
    });
  }

  /** Removes what there is of a blob. */
  static async discard(blob: string): Promise<void> {
    await rm(countsPath(blob), { force: true });
    await rm(incompletePath(blob), { force: true });
  }

  /** Bytes that are there. */
  get bytes(): number {
    return this.#done.reduce((sum, count) => sum + count, 0);
  }

  /** Parts that are not there whole. */
  missing(): ByteRange[] {
    return this.#done.map((_, part) => this.#range(part)).filter((range, part) => this.#done[part]! < range.end - range.start);
  }

  /** The first byte of a range that is not there; its end if all are. */
  frontier({ start, end }: ByteRange): number {
    for (let position = start; position < end; ) {
      const part = Math.floor(position / this.#partBytes);
      const range = this.#range(part);
      const have = range.start + this.#done[part]!;
      if (have < range.end) return Math.min(Math.max(have, position), end);
      position = range.end;
    }
    return end;
  }

  /** Takes bytes that begin at a position, those inside whole parts that are not there yet. Returns how many they were. */
  async take(position: number, bytes: Uint8Array, within: ByteRange): Promise<number> {
    let taken = 0;
    for (let at = Math.max(position, within.start); at < position + bytes.length; ) {
      const part = Math.floor(at / this.#partBytes);
      const range = this.#range(part);
      const end = Math.min(range.end, position + bytes.length);
      const have = range.start + this.#done[part]!;
      if (at <= have && have < end) taken += await this.#write(part, have, bytes.subarray(have - position, end - position));
      at = end;
    }
    return taken;
  }

  /** Whether the bytes have the checksum that names them. */
  async isRight(signal: AbortSignal | undefined): Promise<boolean> {
    const { hash, size } = this.#file;
    const sum = hasherOf(hash, size);
    const chunk = Buffer.allocUnsafe(HASH_CHUNK);
    for (let position = 0; position < size; ) {
      signal?.throwIfAborted();
      const { bytesRead } = await inCache(this.#blob, () => this.#data.read(chunk, 0, chunk.length, position));
      if (bytesRead === 0) return false;
      sum.update(chunk.subarray(0, bytesRead));
      position += bytesRead;
    }
    return sum.digest("hex") === hash;
  }

  /** Gives the file its name. The bytes are on the disk first: what has a blob's name is whole, also after a power failure. */
  async finish(): Promise<void> {
    await inCache(this.#blob, async () => {
      await this.#data.truncate(this.#file.size);
      await this.#data.sync();
      await rm(countsPath(this.#blob), { force: true });
      await rename(incompletePath(this.#blob), this.#blob);
    });
  }

  async close(): Promise<void> {
    await this.#counts?.close();
    await this.#data.close();
  }

  async #write(part: number, position: number, bytes: Uint8Array): Promise<number> {
    await inCache(this.#blob, async () => {
      await writeAll(this.#data, bytes, position);
      this.#done[part]! += bytes.length;
      if (this.#counts !== undefined) await writeAll(this.#counts, encode([this.#done[part]!]), 8 * (part + 1));
    });
    return bytes.length;
  }

  #range(part: number): ByteRange {
    return { start: part * this.#partBytes, end: Math.min((part + 1) * this.#partBytes, this.#file.size) };
  }
}

function countsPath(blob: string): string {
  return `${blob}.kvasir.parts`;
}

/** SHA-256 of the bytes, or what git calls a blob: SHA-1 of a head and the bytes. */
function hasherOf(hash: string, size: number): Hash {
  return hash.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
}

async function openOrCreate(path: string): Promise<FileHandle> {
  try {
    return await open(path, "r+");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    return open(path, "w+");
  }
}

/** What is there by the counts of an earlier attempt; all of a whole file without them; else nothing, and counts to begin with. */
async function openCounts(
  data: FileHandle,
  path: string,
  size: number,
  partBytes: number,
): Promise<{ counts: FileHandle | undefined; done: number[] }> {
  const { size: dataSize } = await data.stat();
  const counts = await open(path, "r+").catch(() => undefined);
  if (counts === undefined && dataSize === size) return { counts, done: wholeParts(size, partBytes) };
  const done = counts && (await readCounts(counts, size, partBytes, dataSize));
  if (done !== undefined) return { counts, done };
  await counts?.close();
  return { counts: await begin(data, path, size, partBytes), done: noParts(size, partBytes) };
}

/** Nothing is there; the counts say so before the first byte is written. */
async function begin(data: FileHandle, path: string, size: number, partBytes: number): Promise<FileHandle> {
  await data.truncate(0);
  const counts = await open(path, "w+");
  await writeAll(counts, encode([partBytes, ...noParts(size, partBytes)]), 0);
  return counts;
}

/** The counts of an earlier attempt; `undefined` if they are of another layout, or of more bytes than there are. */
async function readCounts(counts: FileHandle, size: number, partBytes: number, dataSize: number): Promise<number[] | undefined> {
  const bytes = await counts.readFile();
  const whole = wholeParts(size, partBytes);
  if (bytes.length !== 8 * (whole.length + 1) || bytes.readBigUInt64LE(0) !== BigInt(partBytes)) return undefined;
  const done = whole.map((_, part) => Number(bytes.readBigUInt64LE(8 * (part + 1))));
  const isPossible = done.every((count, part) => count <= whole[part]! && (count === 0 || part * partBytes + count <= dataSize));
  return isPossible ? done : undefined;
}

function wholeParts(size: number, partBytes: number): number[] {
  return Array.from({ length: Math.ceil(size / partBytes) }, (_, part) => Math.min(partBytes, size - part * partBytes));
}

function noParts(size: number, partBytes: number): number[] {
  return wholeParts(size, partBytes).fill(0);
}

function encode(values: readonly number[]): Buffer {
  return Buffer.from(BigUint64Array.from(values, BigInt).buffer);
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, position + written);
    written += bytesWritten;
  }
}
