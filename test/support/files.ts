import { writeFile } from "node:fs/promises";
import { GGML_TYPES, VALUE_TYPES, type ValueType } from "../../lib/files/gguf-types.ts";

/** Model files made in a test: typed, and with the places of all their numbers, so that mutants can be made of them. */

/** A metadata value: plain ones take the obvious type (integers u32, other numbers f32; in arrays i32 and f32). */
export type MetadataValue =
  | string
  | number
  | boolean
  | readonly (string | number | boolean)[]
  | { type: ValueType; value: unknown; elements?: ValueType };

/** A tensor: [rows, columns], contiguous last. `data` has the bytes of its type; by default they are zeros. */
export interface TensorInput {
  name: string;
  type: string;
  shape: readonly number[];
  data?: Uint8Array;
}

export interface GgufInput {
  version?: number;
  metadata: Record<string, MetadataValue>;
  tensors?: readonly TensorInput[];
}

/** A file's bytes, and where the numbers in it lie that a mutant would change. */
export interface FileBytes {
  bytes: Buffer;
  fields: { offset: number; size: number }[];
}

export async function writeGguf(path: string, input: GgufInput): Promise<void> {
  await writeFile(path, ggufBytes(input).bytes);
}

export async function writeSafetensors(path: string, tensors: readonly TensorInput[]): Promise<void> {
  await writeFile(path, safetensorsBytes(safetensorsHeader(tensors), tensors.map(dataOf)));
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  await writeFile(path, JSON.stringify(value));
}

export function ggufBytes({ version = 3, metadata, tensors = [] }: GgufInput): FileBytes {
  const writer = new Writer();
  writer.raw(Buffer.from("GGUF"));
  writer.number("u32", version);
  writer.number("u64", tensors.length);
  writer.number("u64", Object.keys(metadata).length);
  for (const [key, value] of Object.entries(metadata)) {
    writer.string(key);
    writeValue(writer, value);
  }
  const declared = metadata["general.alignment"];
  // A test may declare nonsense; the file is then laid out by the default.
  const alignment = typeof declared === "number" && declared >= 8 && Number.isInteger(declared) && declared < 4096 ? declared : 32;
  const data: Buffer[] = [];
  let offset = 0;
  for (const tensor of tensors) {
    writer.string(tensor.name);
    writer.number("u32", tensor.shape.length);
    for (const size of tensor.shape.toReversed()) writer.number("u64", size);
    writer.number("u32", typeNumber(tensor.type));
    writer.number("u64", offset);
    const bytes = padded(dataOf(tensor), alignment);
    data.push(bytes);
    offset += bytes.length;
  }
  return { bytes: Buffer.concat([padded(writer.bytes(), alignment), ...data]), fields: writer.fields };
}

export interface SafetensorsEntry {
  dtype: string;
  shape: readonly number[];
  data_offsets: [number, number];
}

/** The header of a file that holds the tensors in this order. */
export function safetensorsHeader(tensors: readonly TensorInput[]): Record<string, SafetensorsEntry> {
  let end = 0;
  return Object.fromEntries(
    tensors.map((tensor) => {
      const begin = end;
      end += dataOf(tensor).length;
      return [tensor.name, { dtype: tensor.type, shape: tensor.shape, data_offsets: [begin, end] }];
    }),
  );
}

/** A safetensors file of a header, as an object or as text. */
export function safetensorsBytes(header: object | string, data: readonly Uint8Array[]): Buffer {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...data]);
}

export function dataOf({ type, shape, data }: TensorInput): Uint8Array {
  const { block, bytes } = [...GGML_TYPES.values()].find(({ name }) => name === type) ?? { block: 1, bytes: 1 };
  return data ?? new Uint8Array((shape.reduce((product, size) => product * size, 1) / block) * bytes);
}

/** Numbers as the bytes of a type; F32, F16 (rounded to nearest even) and BF16 (likewise). */
export function encodeFloats(type: "F32" | "F16" | "BF16", values: ArrayLike<number>): Uint8Array {
  const floats = Float32Array.from(values);
  if (type === "F32") return new Uint8Array(floats.buffer);
  const words = new Uint32Array(floats.buffer);
  const convert = type === "BF16" ? toBf16 : toF16;
  return new Uint8Array(Uint16Array.from(words, convert).buffer);
}

function toBf16(word: number): number {
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
}

/** By scaling in double arithmetic: exact for every float32 that is finite. */
function toF16(word: number): number {
  const value = new Float32Array(Uint32Array.of(word).buffer)[0]!;
  const sign = word >>> 31 === 1 ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  const exponent = Math.max(Math.floor(Math.log2(magnitude || 1)), -14);
  const units = roundToEven(magnitude / 2 ** (exponent - 10));
  if (magnitude >= 65520) return sign | 0x7c00;
  // A carry out of the mantissa runs into the exponent, as it should; below 2^-14 the exponent's field is 0.
  return sign | (units < 1024 ? units : ((exponent + 14) << 10) + units);
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

function typeNumber(name: string): number {
  for (const [number, type] of GGML_TYPES) if (type.name === name) return number;
  throw new Error(`no GGUF type ${name}`);
}

function padded(bytes: Uint8Array, alignment: number): Buffer {
  const length = Math.ceil(bytes.length / alignment) * alignment;
  return Buffer.concat([bytes, Buffer.alloc(length - bytes.length)]);
}

function writeValue(writer: Writer, value: MetadataValue): void {
  if (typeof value === "object" && "type" in value) {
    writer.number("u32", VALUE_TYPES.indexOf(value.type));
    if (value.type === "array") writeArray(writer, value.value as unknown[], value.elements ?? "i32");
    else writer.value(value.type, value.value);
  } else if (typeof value === "object") {
    writer.number("u32", VALUE_TYPES.indexOf("array"));
    writeArray(writer, value, plainType(value[0] ?? 0, value.every(Number.isInteger) ? "i32" : "f32"));
  } else {
    const type = plainType(value, Number.isInteger(value) ? "u32" : "f32");
    writer.number("u32", VALUE_TYPES.indexOf(type));
    writer.value(type, value);
  }
}

function writeArray(writer: Writer, values: readonly unknown[], type: ValueType): void {
  writer.number("u32", VALUE_TYPES.indexOf(type));
  writer.number("u64", values.length);
  for (const value of values) writer.value(type, value);
}

function plainType(value: unknown, numeric: ValueType): ValueType {
  if (typeof value === "string") return "string";
  return typeof value === "boolean" ? "bool" : numeric;
}

class Writer {
  readonly fields: { offset: number; size: number }[] = [];
  readonly #parts: Buffer[] = [];
  #length = 0;

  raw(bytes: Buffer): void {
    this.#parts.push(bytes);
    this.#length += bytes.length;
  }

  value(type: ValueType, value: unknown): void {
    if (type === "string") this.string(value as string);
    else this.number(type, Number(value));
  }

  string(text: string): void {
    const bytes = Buffer.from(text);
    this.number("u64", bytes.length);
    this.raw(bytes);
  }

  number(type: ValueType, value: number): void {
    const bytes = Buffer.alloc(8);
    const size = writeNumber(bytes, type, value);
    this.fields.push({ offset: this.#length, size });
    this.raw(bytes.subarray(0, size));
  }

  bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** Returns the position after the number, which is its size. */
function writeNumber(bytes: Buffer, type: ValueType, value: number): number {
  switch (type) {
    case "u8":
    case "bool":
      return bytes.writeUInt8(value);
    case "i8":
      return bytes.writeInt8(value);
    case "u16":
      return bytes.writeUInt16LE(value);
    case "i16":
      return bytes.writeInt16LE(value);
    case "u32":
      return bytes.writeUInt32LE(value);
    case "i32":
      return bytes.writeInt32LE(value);
    case "f32":
      return bytes.writeFloatLE(value);
    case "f64":
      return bytes.writeDoubleLE(value);
    case "u64":
      return bytes.writeBigUInt64LE(BigInt(value));
    case "i64":
      return bytes.writeBigInt64LE(BigInt(value));
    default:
      throw new Error(`${type} is no number`);
  }
}
