import { stat } from "node:fs/promises";
import { KvasirError } from "../errors.ts";

/** Where a blob's bytes lie while it isn't whole. Other programs have other names for theirs. */
export function incompletePath(blob: string): string {
  return `${blob}.kvasir.incomplete`;
}

/** Bytes of a regular file, links followed; `undefined` where there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found?.isFile() ? found.size : undefined;
}

/** Bytes of the disk that a file takes: less than its size where it has holes; 0 where there is none. */
export async function allocatedIn(path: string): Promise<number> {
  const found = await stat(path).catch(() => undefined);
  return (found?.blocks ?? 0) * 512;
}

/** Runs what writes below the cache; failures become DISK_FULL or CACHE_FAILED. */
export async function inCache<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const { code, message, syscall } = cause as NodeJS.ErrnoException;
    if (syscall === undefined) throw cause;
    if (code === "ENOSPC" || code === "EDQUOT")
      throw new KvasirError("DISK_FULL", `${path} can't be written: the disk is full; free some room, or set HF_HOME to a larger disk`, {
        cause,
      });
    throw new KvasirError("CACHE_FAILED", `${path} can't be written: ${message}; check HF_HOME`, { cause });
  }
}
