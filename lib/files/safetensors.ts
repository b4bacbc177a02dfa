import { join } from "node:path";
import { counted, KvasirError, show, type Warn } from "../errors.ts";
import { checkedProduct } from "./checked.ts";
import { isJsonObject, type JsonObject, type JsonValue, parseJsonObject, readJson } from "./json.ts";
import { SAFETENSORS_HEADER } from "./limits.ts";
import { fileSizeIfPresent } from "./paths.ts";
import { decodeUtf8, Reader } from "./reader.ts";
import { refuseOverlaps, type StoredTensor } from "./tensors.ts";

/** A safetensors file without its tensors' data. */
export interface SafetensorsFile {
  path: string;
  size: number;
  tensors: StoredTensor[];
}

/** Bits of each type of the format, those included that kvasir does not compute with. */
const TYPE_BITS: ReadonlyMap<string, number> = new Map([
  ["F4", 4],
  ["F6_E2M3", 6],
  ["F6_E3M2", 6],
  ["BOOL", 8],
  ["U8", 8],
  ["I8", 8],
  ["F8_E5M2", 8],
  ["F8_E4M3", 8],
  ["F8_E8M0", 8],
  ["F8_E4M3FNUZ", 8],
  ["F8_E5M2FNUZ", 8],
  ["I16", 16],
  ["U16", 16],
  ["F16", 16],
  ["BF16", 16],
  ["I32", 32],
  ["U32", 32],
  ["F32", 32],
  ["I64", 64],
  ["U64", 64],
  ["F64", 64],
  ["C64", 64],
]);

/**
 * Reads the header of a safetensors file: a u64 length, as many bytes of JSON, then data that the tensors fill without holes or overlaps
 * to the last byte (anything else could hide a second file).
 */
export function readSafetensors(path: string): Promise<SafetensorsFile> {
  return Reader.with(path, async (reader) => {
    const length = await readHeaderLength(reader);
    await reader.need(length, "the header");
    const text = decodeUtf8(reader.bytes(length), () => reader.invalid("the header is not UTF-8"));
    if (text[0] !== "{") throw reader.invalid(`the header begins with ${show(text.slice(0, 8))}; expected "{"`);
    const header = parseJsonObject(text, path, { wholeNumbers: true, memory: SAFETENSORS_HEADER.memory });
    const dataOffset = reader.position;
    const tensors: StoredTensor[] = [];
    for (const [name, entry] of Object.entries(header)) {
      if (name === "__metadata__") checkMetadata(reader, entry);
      else tensors.push(readEntry(reader, name, entry, dataOffset));
    }
    refuseOverlaps(path, tensors);
    refuseHoles(reader, tensors, dataOffset);
    return { path, size: reader.size, tensors };
  });
}

/** Bytes of a safetensors file's header. */
export function safetensorsHeaderBytes(path: string): Promise<number> {
  return Reader.with(path, readHeaderLength);
}

async function readHeaderLength(reader: Reader): Promise<number> {
  await reader.need(8, "the header's length");
  const length = reader.u64();
  const most = Math.min(SAFETENSORS_HEADER.bytes, reader.remaining);
  if (length > most)
    throw reader.invalid(`the header has ${counted(length, "byte")}; expected at most ${most}, for ${reader.remaining} left`);
  return length;
}

/**
 * The weights of a Hugging Face directory: model.safetensors, or the shards that model.safetensors.index.json lists, each with the
 * tensors that the index places in it.
 */
export async function readSafetensorsDirectory(directory: string, warn: Warn): Promise<SafetensorsFile[]> {
  const single = join(directory, "model.safetensors");
  if ((await fileSizeIfPresent(single)) !== undefined) return [await readSafetensors(single)];
  const index = join(directory, "model.safetensors.index.json");
  if ((await fileSizeIfPresent(index)) === undefined)
    throw new KvasirError("FILE_NOT_FOUND", `${directory} has neither model.safetensors nor model.safetensors.index.json`);
  const shards = shardsOf(index, await readJson(index, warn));
  const files: SafetensorsFile[] = [];
  for (const [shard, names] of shards) {
    const file = await readSafetensors(join(directory, shard));
    const present = new Set(file.tensors.map((tensor) => tensor.name));
    for (const name of names)
      if (!present.has(name))
        throw new KvasirError("FILE_INVALID", `${index} places tensor ${show(name)} in ${shard}, which does not have it`);
    files.push({ ...file, tensors: file.tensors.filter((tensor) => names.has(tensor.name)) });
  }
  return files;
}

/** Names of the files that a directory's model.safetensors.index.json lists. */
export async function safetensorsShards(directory: string): Promise<string[]> {
  const index = join(directory, "model.safetensors.index.json");
  return [...shardsOf(index, await readJson(index, () => {})).keys()];
}

/** Names of tensors by shard. */
function shardsOf(index: string, content: JsonObject): Map<string, Set<string>> {
  const map = content.weight_map;
  if (!isJsonObject(map) || Object.keys(map).length === 0)
    throw new KvasirError("FILE_INVALID", `${index}: weight_map is ${show(map)}; expected an object with the tensors' files`);
  const shards = new Map<string, Set<string>>();
  for (const [name, shard] of Object.entries(map)) {
    // A plain name: the index must not lead outside its directory.
    if (typeof shard !== "string" || !/^[^/\\\0]+\.safetensors$/.test(shard))
      throw new KvasirError(
        "FILE_INVALID",
        `${index}: tensor ${show(name)} lies in ${show(shard)}; expected the name of a .safetensors file`,
      );
    const names = shards.get(shard);
    if (names === undefined) shards.set(shard, new Set([name]));
    else names.add(name);
  }
  return shards;
}

function checkMetadata(reader: Reader, metadata: JsonValue): void {
  if (!isJsonObject(metadata) || Object.values(metadata).some((value) => typeof value !== "string"))
    throw reader.invalid(`__metadata__ is ${show(metadata)}; expected an object of strings`);
}

function readEntry(reader: Reader, name: string, entry: JsonValue, dataOffset: number): StoredTensor {
  const what = `tensor ${show(name)}`;
  if (!isJsonObject(entry) || Object.keys(entry).sort().join() !== "data_offsets,dtype,shape")
    throw reader.invalid(`${what} is ${show(entry)}; expected an object of dtype, shape and data_offsets`);
  const { dtype: type, shape, data_offsets: offsets } = entry;
  const bits = typeof type === "string" ? TYPE_BITS.get(type) : undefined;
  if (typeof type !== "string") throw reader.invalid(`${what} has the dtype ${show(type)}; expected a string`);
  if (bits === undefined) throw new KvasirError("UNSUPPORTED_FORMAT", `${reader.path}: ${what} has the unknown dtype ${show(type)}`);
  if (!isSizes(shape)) throw reader.invalid(`${what} has the shape ${show(shape)}; expected a list of sizes`);
  if (!isSizes(offsets) || offsets.length !== 2)
    throw reader.invalid(`${what} has the data_offsets ${show(offsets)}; expected [begin, end]`);
  const [begin, end] = offsets as [number, number];
  const size = checkedProduct(`${reader.path}: size of ${what} in bits`, ...shape, bits);
  if (size % 8 !== 0 || end - begin !== size / 8)
    throw reader.invalid(`${what} has ${counted(end - begin, "byte")}; expected ${size / 8} for [${shape}] of ${type}`);
  if (end > reader.size - dataOffset)
    throw reader.invalid(`${what} ends at byte ${end} of ${counted(reader.size - dataOffset, "byte")} of data: the file was cut short`);
  return { name, type, shape, offset: dataOffset + begin, bytes: end - begin };
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** Refuses bytes of data that no tensor takes. Overlaps were refused before, so that comparing sums is enough. */
function refuseHoles(reader: Reader, tensors: readonly StoredTensor[], dataOffset: number): void {
  const used = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  const size = reader.size - dataOffset;
  if (used !== size)
    throw reader.invalid(`the tensors take ${used} of ${counted(size, "byte")} of data; expected all, without holes or trailing bytes`);
}
