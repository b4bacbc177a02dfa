import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, statfs, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { counted, KvasirError } from "../errors.ts";
import type { SizedFile } from "./choose.ts";
import { allocatedIn, inCache, incompletePath, sizeOf } from "./disk.ts";
import type { HubFile } from "./listing.ts";
import { isCommit, isInside } from "./names.ts";

/**
 * One repository in Hugging Face's cache, in the layout of all its libraries: `blobs/HASH` has the bytes, `snapshots/COMMIT/PATH` points to
 * them, `refs/REVISION` names a commit. Whoever finds a file there takes it.
 */
export class RepositoryCache {
  /** `models--ORG--NAME`. */
  readonly folder: string;
  readonly #locks: string;

  /** `root` is the cache's folder, `id` is checked: ORG/NAME. */
  constructor(root: string, id: string) {
    const name = `models--${id.replace("/", "--")}`;
    this.folder = join(root, name);
    this.#locks = join(root, ".locks", name);
  }

  /** Where a blob is; what is not there whole lies beside it under names that no other program takes for a blob. */
  blob(hash: string): string {
    return join(this.folder, "blobs", hash);
  }

  /** The lock of whoever downloads a blob, beside those of other programs. */
  lock(hash: string): string {
    return join(this.#locks, `${hash}.kvasir.lock`);
  }

  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  /** The commit that a revision was when it was last asked for. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (isCommit(revision)) return revision;
    const text = await readFile(join(this.folder, "refs", revision), "utf8").catch(() => "");
    return isCommit(text.trim()) ? text.trim() : undefined;
  }

  /** Remembers a revision's commit, once what was asked of it is there. A cache that can't be written has it from before. */
  async remember(revision: string, commit: string): Promise<void> {
    if (revision === commit || (await this.commitOf(revision)) === commit) return;
    const path = join(this.folder, "refs", revision);
    await inCache(path, async () => {
      await mkdir(dirname(path), { recursive: true });
      await replace(path, (temporary) => writeFile(temporary, commit));
    });
  }

  /** Files of a snapshot that are there. */
  async files(commit: string): Promise<SizedFile[]> {
    const folder = this.snapshot(commit);
    const names = await readdir(folder, { recursive: true }).catch(() => []);
    const files = await Promise.all(names.map(async (path) => ({ path, size: await sizeOf(join(folder, path)) })));
    return files.filter((file): file is SizedFile => file.size !== undefined && isInside(file.path));
  }

  /** Whether a snapshot has a file, linked or, where links can't be made, itself. */
  async hasFile(commit: string, { path, size }: HubFile): Promise<boolean> {
    return (await sizeOf(join(this.snapshot(commit), path))) === size;
  }

  /** Whether a blob is there whole. */
  async hasBlob({ hash, size }: HubFile): Promise<boolean> {
    return (await sizeOf(this.blob(hash))) === size;
  }

  /** Points from a snapshot to a blob. */
  async link(commit: string, { path, hash }: HubFile): Promise<void> {
    const link = join(this.snapshot(commit), path);
    await inCache(link, async () => {
      await mkdir(dirname(link), { recursive: true });
      await replace(link, (temporary) => symlink(relative(dirname(link), this.blob(hash)), temporary));
    });
  }

  /** Makes the folders of blobs and locks; refuses to begin where the disk has no room for the blobs, less what is there of them. */
  async prepare(files: readonly HubFile[]): Promise<void> {
    const blobs = join(this.folder, "blobs");
    const { bavail, bsize } = await inCache(blobs, async () => {
      await mkdir(blobs, { recursive: true });
      await mkdir(this.#locks, { recursive: true });
      return statfs(blobs);
    });
    let bytes = 0;
    for (const { hash, size } of files) bytes += Math.max(0, size - (await allocatedIn(incompletePath(this.blob(hash)))));
    if (bavail * bsize >= bytes) return;
    throw new KvasirError(
      "DISK_FULL",
      `${this.folder} needs ${counted(bytes, "byte")} more, its disk has ${bavail * bsize}; free some, or set HF_HOME`,
    );
  }
}

/** Makes a file under a name of its own and gives it its place: whoever looks sees all of it or none. */
async function replace(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await make(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
