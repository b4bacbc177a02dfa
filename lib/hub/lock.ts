import { createHash, randomUUID } from "node:crypto";
import { readlinkSync } from "node:fs";
import { mkdir, readdir, rename, rm, rmdir, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inCache } from "./disk.ts";
import { Transient } from "./retry.ts";

/**
 * A lock is a folder with one file, whose name says who holds it. Each step is a rename that one process only can do: a folder takes the place of
 * none or of an empty one, and a stale owner's file becomes the next owner's.
 *
 * A killed process leaves its lock. It is taken over at once if the process is known to be gone, else when the file has not been touched for a
 * while, which whoever waits sees by its own clock: clocks of two machines are never compared. A process that was stopped for long may so go
 * on beside the next. Both write the same bytes to the same places, and what is not the blob by its checksum never gets its name.
 */

/** Between two looks at somebody's lock. Chosen: short beside any download. */
const POLL_MS = 200;

/** A lock that is held. */
export interface Lock {
  /** Throws if another took it over. */
  check(): Promise<void>;
}

/** Runs `work` while holding the lock; waits for it as long as its owner lives. */
export async function withLock<T>(
  path: string,
  staleMs: number,
  signal: AbortSignal | undefined,
  work: (lock: Lock) => Promise<T>,
): Promise<T> {
  const owner = `${MACHINE}-${process.pid}-${randomUUID()}`;
  const file = join(path, owner);
  await acquire(path, owner, staleMs, signal);
  const beat = setInterval(() => utimes(file, new Date(), new Date()).catch(() => {}), staleMs / 10);
  beat.unref();
  const check = async (): Promise<void> => {
    if ((await stat(file).catch(() => undefined)) === undefined) throw new Transient(`${path} was taken over by another process`);
  };
  try {
    return await work({ check });
  } finally {
    clearInterval(beat);
    await rm(file, { force: true }).catch(() => {});
    await rmdir(path).catch(() => {});
  }
}

async function acquire(path: string, owner: string, staleMs: number, signal: AbortSignal | undefined): Promise<void> {
  let seen = "";
  let since = 0;
  for (;;) {
    signal?.throwIfAborted();
    const [holder] = await readdir(path).catch(() => []);
    if (holder === undefined) {
      if (await create(path, owner)) return;
      continue;
    }
    const sight = `${holder} ${(await stat(join(path, holder)).catch(() => undefined))?.mtimeMs}`;
    if (sight !== seen) [seen, since] = [sight, performance.now()];
    const isStale = isGone(holder) || performance.now() - since > staleMs;
    if (isStale && (await renames(path, join(path, holder), join(path, owner)))) return;
    if (!isStale) await sleep(POLL_MS, undefined, signal && { signal }).catch(() => {});
  }
}

async function create(path: string, owner: string): Promise<boolean> {
  const prepared = `${path}.${owner}`;
  await inCache(path, async () => {
    await mkdir(prepared);
    await writeFile(join(prepared, owner), "");
  });
  try {
    return await renames(path, prepared, path);
  } finally {
    await rm(prepared, { recursive: true, force: true });
  }
}

/** Whether a rename was this process's to do: another's was first if there is nothing any more, or something already. */
async function renames(path: string, from: string, to: string): Promise<boolean> {
  return inCache(path, async () => {
    try {
      await rename(from, to);
      return true;
    } catch (error) {
      if (["ENOENT", "ENOTEMPTY", "EEXIST"].includes((error as NodeJS.ErrnoException).code ?? "")) return false;
      throw error;
    }
  });
}

/** Processes are known by their ids on one machine, and there in one container only. */
const MACHINE = createHash("sha1").update(`${hostname()} ${namespaceOfProcesses()}`).digest("hex").slice(0, 12);

function namespaceOfProcesses(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

/** Whether the owner is known to be gone. */
function isGone(owner: string): boolean {
  const [, machine, pid] = /^([0-9a-f]{12})-([1-9]\d{0,9})-/.exec(owner) ?? [];
  if (machine !== MACHINE) return false;
  try {
    process.kill(Number(pid), 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}
