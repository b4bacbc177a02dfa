import { randomUUID } from "node:crypto";
import { readlinkSync } from "node:fs";
import { link, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { isObject } from "../check.ts";
import { inCache } from "./disk.ts";
import { Transient } from "./retry.ts";

/**
 * A file that says who is at work. It saves the second download and no more: were two at work all the same, both would write the same bytes to
 * the same places of the partial file, and what is not the blob by its checksum never gets its name.
 *
 * A killed process leaves its lock. It is taken over at once if the process is known to be gone, else when the file has not been touched for a
 * while, which whoever waits sees by its own clock: clocks of two machines are never compared.
 */

/** Between two looks at somebody's lock. Chosen: short beside any download. */
const POLL_MS = 200;

/** A lock that is held. */
export interface Lock {
  /** Throws if another took it over, as it may after this process was stopped for long. */
  check(): Promise<void>;
}

/** Runs `work` while holding the lock; waits for it as long as its owner lives. */
export async function withLock<T>(
  path: string,
  staleMs: number,
  signal: AbortSignal | undefined,
  work: (lock: Lock) => Promise<T>,
): Promise<T> {
  const mine = JSON.stringify({ pid: process.pid, machine: MACHINE, id: randomUUID() });
  await acquire(path, mine, staleMs, signal);
  const isMine = async (): Promise<boolean> => (await textOf(path)) === mine;
  const beat = setInterval(() => utimes(path, new Date(), new Date()).catch(() => {}), staleMs / 10);
  beat.unref();
  const check = async (): Promise<void> => {
    if (!(await isMine())) throw new Transient(`${path} was taken over by another process`);
  };
  try {
    return await work({ check });
  } finally {
    clearInterval(beat);
    if (await isMine()) await rm(path, { force: true }).catch(() => {});
  }
}

async function acquire(path: string, mine: string, staleMs: number, signal: AbortSignal | undefined): Promise<void> {
  let seen = "";
  let since = 0;
  while (!(await create(path, mine))) {
    signal?.throwIfAborted();
    const owner = await textOf(path);
    const sight = `${owner} ${(await stat(path).catch(() => undefined))?.mtimeMs}`;
    if (sight !== seen) [seen, since] = [sight, performance.now()];
    if (owner !== undefined && (isGone(owner) || performance.now() - since > staleMs)) await remove(path, owner);
    else await sleep(POLL_MS, undefined, signal && { signal }).catch(() => {});
  }
}

async function create(path: string, mine: string): Promise<boolean> {
  return inCache(path, async () => {
    try {
      await writeFile(path, mine, { flag: "wx" });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
      throw error;
    }
  });
}

/** Removes a stale lock. Another may do so at the same moment and make its own, which is then given back. */
async function remove(path: string, stale: string): Promise<void> {
  if ((await textOf(path)) !== stale) return;
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  if ((await textOf(aside)) !== stale) await link(aside, path).catch(() => {});
  await rm(aside, { force: true });
}

async function textOf(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch(() => undefined);
}

/** Processes are known by their ids on one machine, and there in one container only. */
const MACHINE = `${hostname()} ${namespaceOfProcesses()}`;

function namespaceOfProcesses(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}

/** Whether the owner is known to be gone. A lock that is being written has no owner yet. */
function isGone(owner: string): boolean {
  const { pid, machine } = parse(owner);
  if (machine !== MACHINE || !Number.isSafeInteger(pid)) return false;
  try {
    process.kill(pid as number, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

function parse(owner: string): { pid?: unknown; machine?: unknown } {
  try {
    const value: unknown = JSON.parse(owner);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}
