import { counted, KvasirError, show } from "../errors.ts";
import { checkedProduct, checkedSum } from "./checked.ts";
import { GGML_TYPES, VALUE_BYTES, VALUE_TYPES, type ValueType } from "./gguf-types.ts";
import { MAX_STRING, nameOf, Reader, type What } from "./reader.ts";
import { refuseOverlaps, type StoredTensor } from "./tensors.ts";

/** A value of GGUF metadata. */
export type GgufValue = string | number | boolean | GgufArray;

/** Arrays hold values of one type and are not nested. */
export type GgufArray = string[] | number[] | boolean[];

/** A long array, or a string too long for any use, that was passed over. */
export interface SkippedValue {
  /** Of the array's elements; "string" of a string. */
  type: ValueType;
  /** Elements, or bytes of a string. */
  length: number;
}

/** A tensor of a GGUF file. */
export type GgufTensor = StoredTensor;

/** A GGUF file without its tensors' data. */
export interface GgufFile {
  path: string;
  size: number;
  version: number;
  metadata: Map<string, GgufValue>;
  /** What is not in `metadata`. */
  skipped: Map<string, SkippedValue>;
  tensors: GgufTensor[];
  /** Where tensor data begins. */
  dataOffset: number;
}

type ScalarType = Exclude<ValueType, "string" | "array">;

/** Arrays up to this length are always kept. Chosen: per-layer settings are about as short, vocabularies far longer. */
const SHORT_ARRAY = 64;

/** Most elements of an array that is read: as many merges as a tokenizer may have. */
const MAX_ELEMENTS = 1 << 21;
/** Most tensors and metadata entries. Chosen: some ten times what any model has, and what is made of them takes tens of milliseconds. */
const MAX_TENSORS = 1 << 14;
const MAX_ENTRIES = 1 << 12;

/** Most bytes before the tensors' data. Chosen: eight times those of 262,144 tokens with their merges. */
const MAX_HEADER = 1 << 27;

const NONE: ReadonlySet<string> = new Set();

/** The format's own limits. */
const MAX_KEY_BYTES = 65535;
const MAX_TENSOR_NAME_BYTES = 64;

/** The shortest records: a key and a value of one byte; a tensor of one dimension. */
const MIN_ENTRY_BYTES = 8 + 4 + 1;
const MIN_TENSOR_BYTES = 8 + 4 + 8 + 4 + 8;

/**
 * Reads a GGUF file's header (versions 2 and 3, little-endian): everything but the tensors' data, every range checked.
 * Arrays of more than 64 elements, which only a tokenizer needs, are passed over unless `arrays` has their key.
 */
export function readGguf(path: string, arrays: ReadonlySet<string> = NONE): Promise<GgufFile> {
  const read = async (reader: Reader): Promise<GgufFile> => {
    const { version, tensorCount, entryCount } = await readPreamble(reader);
    const metadata = new Map<string, GgufValue>();
    const skipped = new Map<string, SkippedValue>();
    for (let i = 0; i < entryCount; i++) {
      const key = await reader.string(`key ${i} of the metadata`, MAX_KEY_BYTES);
      if (metadata.has(key) || skipped.has(key)) throw reader.invalid(`metadata key ${show(key)} stands twice`);
      const value = await readValue(reader, key, arrays.has(key));
      if (isSkipped(value)) skipped.set(key, value);
      else metadata.set(key, value);
    }
    const alignment = alignmentOf(reader, metadata);
    const declared = await readTensors(reader, tensorCount);
    const dataOffset = checkedProduct(`${path}: start of data`, Math.ceil(reader.position / alignment), alignment);
    const tensors = declared.map((tensor) => placeTensor(reader, tensor, dataOffset, alignment));
    refuseOverlaps(path, tensors);
    return { path, size: reader.size, version, metadata, skipped, tensors, dataOffset };
  };
  return Reader.with(path, read, MAX_HEADER);
}

async function readPreamble(reader: Reader): Promise<{ version: number; tensorCount: number; entryCount: number }> {
  await reader.need(4, "the magic number");
  const magic = reader.bytes(4).toString("latin1");
  if (magic === "FUGG") throw new KvasirError("UNSUPPORTED_FORMAT", `${reader.path}: the file is big-endian; expected little-endian GGUF`);
  if (magic !== "GGUF") throw new KvasirError("UNSUPPORTED_FORMAT", `${reader.path} starts with ${show(magic)}; expected "GGUF"`);
  await reader.need(20, "the header");
  const version = reader.u32();
  // In the other byte order a small version number has nothing in its low half.
  if (version !== 0 && (version & 0xffff) === 0)
    throw new KvasirError("UNSUPPORTED_FORMAT", `${reader.path}: the file is big-endian; expected little-endian GGUF`);
  if (version !== 2 && version !== 3)
    throw new KvasirError("UNSUPPORTED_FORMAT", `${reader.path}: the GGUF version is ${version}; expected 2 or 3`);
  const tensorCount = boundedCount(reader, reader.u64(), MAX_TENSORS, MIN_TENSOR_BYTES, "tensor");
  const entryCount = boundedCount(reader, reader.u64(), MAX_ENTRIES, MIN_ENTRY_BYTES, "metadata entry");
  return { version, tensorCount, entryCount };
}

function boundedCount(reader: Reader, count: number, limit: number, minBytes: number, what: string): number {
  const most = Math.min(limit, Math.floor(reader.remaining / minBytes));
  if (count > most)
    throw reader.invalid(`the file has ${counted(count, what)}; expected at most ${most}, for ${counted(reader.remaining, "byte")} left`);
  return count;
}

async function readValueType(reader: Reader, key: string): Promise<ValueType> {
  await reader.need(4, key);
  const number = reader.u32();
  const name = VALUE_TYPES[number];
  if (name === undefined) throw reader.invalid(`the type of ${key} is ${number}; expected 0 to ${VALUE_TYPES.length - 1}`);
  return name;
}

async function readValue(reader: Reader, key: string, arrays: boolean): Promise<GgufValue | SkippedValue> {
  const type = await readValueType(reader, key);
  if (type === "array") return readArray(reader, key, arrays);
  await reader.need(VALUE_BYTES[type], key);
  if (type !== "string") return readScalar(reader, type, key);
  const length = reader.stringLength(key);
  if (length <= MAX_STRING) return reader.text(length, key);
  reader.skip(length, key);
  return { type, length };
}

async function readArray(reader: Reader, key: string, wanted: boolean): Promise<GgufArray | SkippedValue> {
  const type = await readValueType(reader, key);
  if (type === "array") throw new KvasirError("UNSUPPORTED_FORMAT", `${reader.path}: ${key} is an array of arrays; expected a flat one`);
  await reader.need(8, key);
  const length = reader.u64();
  const fits = Math.floor(reader.remaining / VALUE_BYTES[type]);
  const most = wanted ? Math.min(MAX_ELEMENTS, fits) : fits;
  if (length > most)
    throw reader.invalid(
      `${key} has ${counted(length, "element")}; expected at most ${most}, for ${counted(reader.remaining, "byte")} left`,
    );
  if (wanted || length <= SHORT_ARRAY) return readElements(reader, key, type, length);
  if (type === "string") await skipStrings(reader, key, length);
  else reader.skip(length * VALUE_BYTES[type], key);
  return { type, length };
}

async function skipStrings(reader: Reader, key: string, count: number): Promise<void> {
  let i = 0;
  const element = (): string => `${key}[${i}]`;
  for (; i < count; i++) {
    // A promise for each would take longer than all else.
    if (!reader.has(8)) await reader.need(8, element);
    reader.skip(reader.stringLength(element), element);
  }
}

async function readElements(reader: Reader, key: string, type: Exclude<ValueType, "array">, length: number): Promise<GgufArray> {
  const values: unknown[] = [];
  const bytes = VALUE_BYTES[type];
  let i = 0;
  const element = (): string => `${key}[${i}]`;
  for (; i < length; i++) {
    // A promise for each would take longer than all else.
    if (type === "string") values.push(reader.stringAtHand(element) ?? (await reader.string(element)));
    else {
      if (!reader.has(bytes)) await reader.need(bytes, element);
      values.push(readScalar(reader, type, element));
    }
  }
  return values as GgufArray;
}

function readScalar(reader: Reader, type: ScalarType, what: What): number | boolean {
  if (type !== "bool") return reader[type]();
  const byte = reader.u8();
  if (byte > 1) throw reader.invalid(`${nameOf(what)} is the boolean ${byte}; expected 0 or 1`);
  return byte === 1;
}

function isSkipped(value: GgufValue | SkippedValue): value is SkippedValue {
  return typeof value === "object" && !Array.isArray(value);
}

function alignmentOf(reader: Reader, metadata: ReadonlyMap<string, GgufValue>): number {
  const alignment = metadata.get("general.alignment") ?? 32;
  if (typeof alignment !== "number" || !(alignment >= 8) || !Number.isInteger(Math.log2(alignment)))
    throw reader.invalid(`general.alignment is ${show(alignment)}; expected a power of two from 8 on`);
  return alignment;
}

interface DeclaredTensor {
  name: string;
  /** GGUF's order: the contiguous dimension first. */
  dimensions: number[];
  type: number;
  /** From the start of data. */
  offset: number;
}

async function readTensors(reader: Reader, count: number): Promise<DeclaredTensor[]> {
  const tensors = new Map<string, DeclaredTensor>();
  for (let i = 0; i < count; i++) {
    const name = await reader.string(`name ${i} of the tensors`, MAX_TENSOR_NAME_BYTES);
    if (tensors.has(name)) throw reader.invalid(`tensor ${show(name)} stands twice`);
    await reader.need(4, name);
    const rank = reader.u32();
    if (rank < 1 || rank > 4) throw reader.invalid(`tensor ${show(name)} has ${counted(rank, "dimension")}; expected 1 to 4`);
    await reader.need(rank * 8 + 12, name);
    const dimensions = Array.from({ length: rank }, () => reader.u64());
    tensors.set(name, { name, dimensions, type: reader.u32(), offset: reader.u64() });
  }
  return [...tensors.values()];
}

function placeTensor(reader: Reader, tensor: DeclaredTensor, dataOffset: number, alignment: number): GgufTensor {
  const { name, dimensions } = tensor;
  const what = `tensor ${show(name)}`;
  const type = GGML_TYPES.get(tensor.type);
  if (type === undefined) throw new KvasirError("UNSUPPORTED_FORMAT", `${reader.path}: ${what} has the unknown type ${tensor.type}`);
  const columns = dimensions[0]!;
  if (dimensions.includes(0) || columns % type.block !== 0)
    throw reader.invalid(`${what} is [${dimensions}]; expected dimensions above 0, and ${type.name} rows in multiples of ${type.block}`);
  if (tensor.offset % alignment !== 0)
    throw reader.invalid(`${what} begins at ${tensor.offset}; expected a multiple of the alignment ${alignment}`);
  const bytes = checkedProduct(`${reader.path}: size of ${what}`, columns / type.block, type.bytes, ...dimensions.slice(1));
  const offset = checkedSum(`${reader.path}: offset of ${what}`, dataOffset, tensor.offset);
  if (checkedSum(`${reader.path}: end of ${what}`, offset, bytes) > reader.size)
    throw reader.invalid(`${what} takes ${counted(bytes, "byte")} from ${offset} on, but the file has ${reader.size}: it was cut short`);
  return { name, type: type.name, shape: dimensions.toReversed(), offset, bytes };
}
