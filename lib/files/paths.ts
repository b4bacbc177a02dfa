import type { Stats } from "node:fs";
import { lstat, readdir, stat } from "node:fs/promises";
import { KvasirError } from "../errors.ts";

/** Size of a regular file; FILE_NOT_FOUND if there is none. */
export async function fileSize(path: string): Promise<number> {
  const size = await fileSizeIfPresent(path);
  if (size === undefined) throw new KvasirError("FILE_NOT_FOUND", `${path} does not exist`);
  return size;
}

/** Size of a regular file, `undefined` where nothing stands; FILE_NOT_FOUND where something else does. */
export async function fileSizeIfPresent(path: string): Promise<number | undefined> {
  const found = await statIfPresent(path);
  if (found === undefined || found.isFile()) return found?.size;
  throw new KvasirError("FILE_NOT_FOUND", `${path} is ${found.isDirectory() ? "a directory" : "not a file"}; expected a file`);
}

/** What stands at a path; `undefined` for nothing. That it can't be seen (no right, a link to nothing, too many files) is an error. */
export async function statIfPresent(path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (cause) {
    if (isAbsent(cause) && !(await isLink(path))) return undefined;
    throw fileError(path, cause);
  }
}

function isLink(path: string): Promise<boolean> {
  return lstat(path).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
}

/** Names in a directory; none if there is no such directory. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    if (isAbsent(cause)) return [];
    throw fileError(directory, cause);
  }
}

/** Whether something stands at a path. What can't be seen does, too: who opens it tells why it can't be read. */
export function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    (cause) => !isAbsent(cause),
  );
}

/** By which Node says that nothing stands at a path: there is nothing, or there can't be (a name too long, or with a character 0). */
const ABSENT: ReadonlySet<string | undefined> = new Set(["ENOENT", "ENOTDIR", "ENAMETOOLONG", "ERR_INVALID_ARG_VALUE"]);

function isAbsent(cause: unknown): boolean {
  return ABSENT.has((cause as NodeJS.ErrnoException).code);
}

/** The system's reason stands in the message: `model.gguf cannot be read: EACCES: permission denied, open 'model.gguf'`. */
export function fileError(path: string, cause: unknown): KvasirError {
  return new KvasirError("FILE_NOT_FOUND", `${path} cannot be read: ${(cause as Error).message}`, { cause });
}
