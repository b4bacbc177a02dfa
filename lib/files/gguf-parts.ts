import { basename, dirname, join } from "node:path";
import { counted, KvasirError, show } from "../errors.ts";
import { type GgufFile, readGguf } from "./gguf.ts";

/**
 * A GGUF may lie in several files, as llama-gguf-split writes them: NAME-00001-of-00003.gguf and so on, each with its own tensors. The first
 * has the metadata; all have `split.no` (from 0 on), `split.count` and `split.tensors.count`.
 */

const PART_NAME = /^(.+)-(\d{5})-of-(\d{5})\.gguf$/;

/** Models among the names of files, each with its parts in order, by name. Projectors of images and statistics of quantizers are none. */
export function ggufModels(paths: readonly string[]): { name: string; parts: [first: string, ...others: string[]] }[] {
  const models = new Map<string, [first: string, ...others: string[]]>();
  for (const path of [...paths].sort()) {
    if (!/\.gguf$/i.test(path) || /(?:mmproj|imatrix)[^/]*$/i.test(path)) continue;
    const name = PART_NAME.exec(path)?.[1] ?? path.slice(0, -".gguf".length);
    const parts = models.get(name);
    if (parts === undefined) models.set(name, [path]);
    else parts.push(path);
  }
  return [...models].map(([name, parts]) => ({ name, parts }));
}

/** How many files a GGUF lies in, by the name of one of them. */
export function partCount(path: string): number {
  return Number(PART_NAME.exec(path)?.[3] ?? 1);
}

/** All files of a GGUF, the first part first, whichever of them is given; one for a GGUF in one file. */
export async function readGgufParts(path: string): Promise<[first: GgufFile, ...others: GgufFile[]]> {
  const given = await readGguf(path);
  const [first, ...others] = partPaths(given);
  const files: [GgufFile, ...GgufFile[]] = [await readPart(first, 0, given)];
  for (const [index, other] of others.entries()) files.push(await readPart(other, index + 1, given));
  checkTensorCount(files);
  return files;
}

/** The file that has a GGUF's metadata: the first part, or the only one. */
export async function readFirstPart(path: string): Promise<GgufFile> {
  const given = await readGguf(path);
  return readPart(partPaths(given)[0], 0, given);
}

/** The paths of all parts, by the name of one of them. */
function partPaths(file: GgufFile): [first: string, ...others: string[]] {
  const count = splitNumber(file, "split.count") ?? 1;
  if (count <= 1) return [file.path];
  const [, name, number, total] = PART_NAME.exec(basename(file.path)) ?? [];
  if (Number(total) !== count || !(Number(number) >= 1 && Number(number) <= count))
    throw invalid(file, `it is one of ${counted(count, "part")}; expected a name like NAME-00001-of-${fiveDigits(count)}.gguf`);
  const pathOf = (part: number) => join(dirname(file.path), `${name}-${fiveDigits(part + 1)}-of-${total}.gguf`);
  return [pathOf(0), ...Array.from({ length: count - 1 }, (_, index) => pathOf(index + 1))];
}

/** A part, which has to say of itself what its name says; `given` has been read. */
async function readPart(path: string, index: number, given: GgufFile): Promise<GgufFile> {
  const count = splitNumber(given, "split.count") ?? 1;
  const file = basename(path) === basename(given.path) ? given : await readGguf(path);
  if (count <= 1) return file;
  for (const [key, expected] of [["split.count", count] as const, ["split.no", index] as const]) {
    const value = splitNumber(file, key);
    if (value !== expected) throw invalid(file, `${key} is ${value ?? "missing"}; expected ${expected}`);
  }
  return file;
}

/** Every part is there; so are all tensors, unless a part is another model's. */
function checkTensorCount(files: readonly [GgufFile, ...GgufFile[]]): void {
  if (files.length === 1) return;
  const found = files.reduce((sum, { tensors }) => sum + tensors.length, 0);
  for (const file of files) {
    const expected = splitNumber(file, "split.tensors.count") ?? found;
    if (expected !== found)
      throw invalid(file, `split.tensors.count is ${expected}; expected ${found}, the tensors of all ${counted(files.length, "part")}`);
  }
}

function splitNumber(file: GgufFile, key: string): number | undefined {
  const value = file.metadata.get(key);
  if (value === undefined || (typeof value === "number" && Number.isInteger(value))) return value;
  throw invalid(file, `${key} is ${show(value)}; expected a whole number`);
}

const fiveDigits = (value: number): string => String(value).padStart(5, "0");

function invalid(file: GgufFile, message: string): KvasirError {
  return new KvasirError("FILE_INVALID", `${file.path}: ${message}`);
}
