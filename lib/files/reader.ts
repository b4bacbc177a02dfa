import { type FileHandle, open } from "node:fs/promises";
import { counted, KvasirError } from "../errors.ts";
import { fileError, fileSize } from "./paths.ts";

/** Bytes fetched at a time, between which the event loop runs. Chosen: the shortest records in them take some 10 ms. */
const CHUNK = 1 << 17;

/** Longest string that is taken from a file. Chosen: chat templates and vocabularies' tokens are far below. */
export const MAX_STRING: number = 1 << 20;

/**
 * Little-endian reader that moves forward through a file, a chunk at a time. `need(n)` fetches the next n bytes or refuses a file that
 * ends before; the typed reads that follow are synchronous, so that a vocabulary of 10^5 tokens does not take as many promises.
 */
export class Reader {
  readonly path: string;
  readonly size: number;
  /** Where reading ends at the latest. */
  readonly #limit: number;
  readonly #handle: FileHandle;
  #chunk: Buffer = Buffer.alloc(0);
  /** Place of the chunk's first byte in the file, and of the next byte in the chunk. */
  #chunkStart = 0;
  #cursor = 0;

  private constructor(path: string, size: number, limit: number, handle: FileHandle) {
    this.path = path;
    this.size = size;
    this.#limit = limit;
    this.#handle = handle;
  }

  /** Runs `use` with a reader at the start of the file, which reads no byte from `limit` on, and closes the file after it. */
  static async with<T>(path: string, use: (reader: Reader) => Promise<T>, limit: number = Number.POSITIVE_INFINITY): Promise<T> {
    const size = await fileSize(path);
    let handle: FileHandle;
    try {
      handle = await open(path, "r");
    } catch (cause) {
      throw fileError(path, cause);
    }
    try {
      return await use(new Reader(path, size, limit, handle));
    } finally {
      await handle.close();
    }
  }

  /** Offset in the file of the next byte. */
  get position(): number {
    return this.#chunkStart + this.#cursor;
  }

  get remaining(): number {
    return this.size - this.position;
  }

  /** Whether the next `bytes` bytes are at hand without `need`. */
  has(bytes: number): boolean {
    return this.#cursor + bytes <= this.#chunk.length;
  }

  /** Fetches the next `bytes` bytes; `what` names them should the file end before. */
  async need(bytes: number, what: What): Promise<void> {
    if (this.has(bytes)) return;
    if (bytes > this.remaining)
      throw this.invalid(`${nameOf(what)} at byte ${this.position} takes ${counted(bytes, "byte")}, but ${this.remaining} are left`);
    const start = this.position;
    if (start + bytes > this.#limit)
      throw this.invalid(`${nameOf(what)} at byte ${start} lies beyond byte ${this.#limit}; expected a shorter header`);
    const chunk = Buffer.allocUnsafe(Math.min(Math.max(bytes, CHUNK), this.size - start));
    const length = await this.#fill(chunk, start);
    if (length < bytes) throw this.invalid(`the file became shorter while it was read: ${nameOf(what)} at byte ${start}`);
    this.#chunk = chunk.subarray(0, length);
    this.#chunkStart = start;
    this.#cursor = 0;
  }

  async #fill(chunk: Buffer, start: number): Promise<number> {
    let length = 0;
    try {
      while (length < chunk.length) {
        const { bytesRead } = await this.#handle.read(chunk, length, chunk.length - length, start + length);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
    } catch (cause) {
      throw fileError(this.path, cause);
    }
    return length;
  }

  /** Moves to a place in the file, [0, size]. */
  seek(position: number): void {
    if (!(position >= 0 && position <= this.size))
      throw this.invalid(`byte ${position} lies outside the file's ${counted(this.size, "byte")}`);
    this.#chunk = Buffer.alloc(0);
    this.#chunkStart = position;
    this.#cursor = 0;
  }

  /** Passes over bytes, without fetching what lies beyond those at hand. */
  skip(bytes: number, what: What): void {
    if (this.has(bytes)) this.#cursor += bytes;
    else if (bytes > this.remaining)
      throw this.invalid(`${nameOf(what)} at byte ${this.position} takes ${counted(bytes, "byte")}, but ${this.remaining} are left`);
    else this.seek(this.position + bytes);
  }

  /** The next `bytes` bytes, valid until the next `need`. */
  bytes(bytes: number): Buffer {
    const start = this.#cursor;
    this.#cursor += bytes;
    return this.#chunk.subarray(start, this.#cursor);
  }

  u8(): number {
    return this.#chunk.readUInt8(this.#advance(1));
  }
  i8(): number {
    return this.#chunk.readInt8(this.#advance(1));
  }
  u16(): number {
    return this.#chunk.readUInt16LE(this.#advance(2));
  }
  i16(): number {
    return this.#chunk.readInt16LE(this.#advance(2));
  }
  u32(): number {
    return this.#chunk.readUInt32LE(this.#advance(4));
  }
  i32(): number {
    return this.#chunk.readInt32LE(this.#advance(4));
  }
  f32(): number {
    return this.#chunk.readFloatLE(this.#advance(4));
  }
  f64(): number {
    return this.#chunk.readDoubleLE(this.#advance(8));
  }
  /** A 64-bit number below 2^53: nothing larger is a count, an offset or an id. */
  u64(): number {
    const start = this.#advance(8);
    const high = this.#chunk.readUInt32LE(start + 4);
    // Of two halves, as vocabularies have 10^5 lengths and a bigint takes longer than all else of one.
    if (high < 2 ** 21) return high * 2 ** 32 + this.#chunk.readUInt32LE(start);
    return this.#safe(this.#chunk.readBigUInt64LE(start));
  }
  i64(): number {
    return this.#safe(this.#chunk.readBigInt64LE(this.#advance(8)));
  }

  /** A u64 length, then as many bytes of UTF-8. */
  async string(what: What, maxBytes: number = MAX_STRING): Promise<string> {
    if (!this.has(8)) await this.need(8, what);
    return this.text(this.stringLength(what, maxBytes), what);
  }

  /** The same of what is at hand; `undefined`, and nothing is taken, where that isn't all of it. */
  stringAtHand(what: What, maxBytes: number = MAX_STRING): string | undefined {
    if (!this.has(8)) return undefined;
    const start = this.#cursor;
    const length = this.stringLength(what, maxBytes);
    if (this.has(length)) return this.#decode(length, what);
    this.#cursor = start;
    return undefined;
  }

  /** As many bytes of UTF-8. */
  async text(length: number, what: What): Promise<string> {
    if (!this.has(length)) await this.need(length, what);
    return this.#decode(length, what);
  }

  #decode(length: number, what: What): string {
    return decodeUtf8(this.bytes(length), () => this.invalid(`${nameOf(what)} is not UTF-8`));
  }

  /** The length that stands before a string, bounded by what is left of the file; its 8 bytes are at hand. */
  stringLength(what: What, maxBytes: number = Number.POSITIVE_INFINITY): number {
    const length = this.u64();
    const most = Math.min(maxBytes, this.remaining);
    if (length > most)
      throw this.invalid(`${nameOf(what)} has ${counted(length, "byte")}; expected at most ${most}, for ${this.remaining} left`);
    return length;
  }

  /** An error that names the file. */
  invalid(message: string): KvasirError {
    return new KvasirError("FILE_INVALID", `${this.path}: ${message}`);
  }

  #advance(bytes: number): number {
    const start = this.#cursor;
    this.#cursor += bytes;
    return start;
  }

  #safe(value: bigint): number {
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw this.invalid(`the number at byte ${this.position - 8} is ${value}; expected one below 2^53`);
    return number;
  }
}

/** What is read, for errors: one of many has its name made for an error alone. */
export type What = string | (() => string);

/** How an error names it. */
export function nameOf(what: What): string {
  return typeof what === "string" ? what : what();
}

/** Bytes as text; refuses what is not UTF-8 with the error given. */
export function decodeUtf8(bytes: Uint8Array, error: () => KvasirError): string {
  try {
    return strictUtf8.decode(bytes);
  } catch {
    throw error();
  }
}

// A byte order mark stays: it is part of a token's text, and JSON refuses it.
const strictUtf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A whole file of text, of `most` bytes at most. */
export async function readText(path: string, most: number): Promise<string> {
  return Reader.with(path, async (reader) => {
    if (reader.size > most) throw reader.invalid(`the file has ${counted(reader.size, "byte")}; expected at most ${most}`);
    await reader.need(reader.size, "the text");
    return decodeUtf8(reader.bytes(reader.size), () => reader.invalid("the file is not UTF-8"));
  });
}

/** The float32 numbers at a place in a file that was checked before. */
export async function readFloats(path: string, offset: number, count: number): Promise<Float32Array> {
  return Reader.with(path, async (reader) => {
    reader.seek(offset);
    await reader.need(count * 4, "tensor data");
    return Float32Array.from({ length: count }, () => reader.f32());
  });
}
