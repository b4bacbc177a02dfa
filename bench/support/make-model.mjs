// Files of real models' shapes with random weights, made once into .cache/: speeds hold, the text is nonsense. GGUF, but for fp8, which only
// Hugging Face directories have. The vocabulary is the bundled model's, padded: peers refuse a file without one.
import { existsSync, mkdirSync, renameSync } from "node:fs";
import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { readGguf } from "../../dist/files/gguf.js";
import { writeFp8Directory } from "./make-fp8.mjs";
import { bytesOf, SHAPES, tensorsOf, typeOf } from "./shapes.mjs";

const ALIGNMENT = 32;

const u32 = (value) => Buffer.from(Uint32Array.of(value).buffer);
const u64 = (value) => Buffer.from(BigUint64Array.of(BigInt(value)).buffer);
const f32 = (value) => Buffer.from(Float32Array.of(value).buffer);
const string = (text) => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)]);
const TYPES = {
  u32: (value) => Buffer.concat([u32(4), u32(value)]),
  f32: (value) => Buffer.concat([u32(6), f32(value)]),
  bool: (value) => Buffer.concat([u32(7), Buffer.from([value ? 1 : 0])]),
  string: (value) => Buffer.concat([u32(8), string(value)]),
  strings: (values) => Buffer.concat([u32(9), u32(8), u64(values.length), ...values.map(string)]),
  ints: (values) => Buffer.concat([u32(9), u32(5), u64(values.length), Buffer.from(Int32Array.from(values).buffer)]),
};

/** The path of the shape's file, or directory of fp8, which is made if it is not there. */
export async function makeModel(name, type = "q8_0") {
  const folder = fileURLToPath(new URL("../../.cache/", import.meta.url));
  const path = `${folder}${name}-${type}${type === "fp8" ? "" : ".gguf"}`;
  if (existsSync(path)) return path;
  mkdirSync(folder, { recursive: true });
  if (type === "fp8") {
    const patterns = { elements: randomElements(), halves: randomHalves() };
    await writeFp8Directory(`${path}.part`, SHAPES[name], tensorsOf(SHAPES[name]), patterns);
  } else await writeModel(`${path}.part`, name, SHAPES[name], type);
  renameSync(`${path}.part`, path);
  return path;
}

async function writeModel(path, name, shape, type) {
  const tensors = tensorsOf(shape);
  const metadata = await metadataOf(name, shape);
  let offset = 0;
  const infos = tensors.map((tensor) => {
    const { rows, cols } = tensor;
    const size = bytesOf(tensor, type);
    const dimensions = rows === 0 ? [cols] : [cols, rows];
    const id = rows === 0 ? 0 : typeOf(tensor, type).id;
    const info = [string(tensor.name), u32(dimensions.length), ...dimensions.map(u64), u32(id), u64(offset)];
    offset += size + padding(size);
    return Buffer.concat(info);
  });
  const entries = metadata.map(([key, value]) => Buffer.concat([string(key), value]));
  const header = Buffer.concat([Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(entries.length), ...entries, ...infos]);
  const file = await open(path, "w");
  await file.write(Buffer.concat([header, Buffer.alloc(padding(header.length))]));
  const patterns = new Map();
  for (const tensor of tensors) {
    const stored = typeOf(tensor, type);
    if (!patterns.has(stored)) patterns.set(stored, stored.scales.length > 0 ? randomBlocks(stored) : randomHalves());
    await writeTensor(file, tensor, bytesOf(tensor, type), patterns.get(stored));
  }
  await file.close();
}

async function metadataOf(name, shape) {
  const { architecture = "llama", layers, hidden, heads, kvHeads, headSize = hidden / heads, ffn, vocab, context } = shape;
  const keys = ["tokens", "token_type", "merges"].map((key) => `tokenizer.ggml.${key}`);
  const { metadata } = await readGguf(fileURLToPath(new URL("../../models/tales-q4_0.gguf", import.meta.url)), new Set(keys));
  const pad = (values, padded) => [...values, ...Array.from({ length: vocab - values.length }, (_, i) => padded(i))];
  const [tokens, types, merges] = keys.map((key) => metadata.get(key));
  return [
    ["general.architecture", TYPES.string(architecture)],
    ["general.name", TYPES.string(name)],
    [`${architecture}.context_length`, TYPES.u32(context)],
    [`${architecture}.embedding_length`, TYPES.u32(hidden)],
    [`${architecture}.block_count`, TYPES.u32(layers)],
    [`${architecture}.feed_forward_length`, TYPES.u32(ffn)],
    [`${architecture}.attention.head_count`, TYPES.u32(heads)],
    [`${architecture}.attention.head_count_kv`, TYPES.u32(kvHeads)],
    [`${architecture}.attention.key_length`, TYPES.u32(headSize)],
    [`${architecture}.attention.value_length`, TYPES.u32(headSize)],
    [`${architecture}.rope.dimension_count`, TYPES.u32(headSize)],
    [`${architecture}.attention.layer_norm_rms_epsilon`, TYPES.f32(1e-5)],
    [`${architecture}.rope.freq_base`, TYPES.f32(10000)],
    [`${architecture}.vocab_size`, TYPES.u32(vocab)],
    ["tokenizer.ggml.model", TYPES.string("gpt2")],
    ["tokenizer.ggml.pre", TYPES.string("llama-bpe")],
    ["tokenizer.ggml.tokens", TYPES.strings(pad(tokens, (i) => `[PAD${i}]`))],
    ["tokenizer.ggml.token_type", TYPES.ints(pad(types, () => 5))],
    ["tokenizer.ggml.merges", TYPES.strings(merges)],
    ["tokenizer.ggml.bos_token_id", TYPES.u32(0)],
    ["tokenizer.ggml.eos_token_id", TYPES.u32(0)],
    ["tokenizer.ggml.add_bos_token", TYPES.bool(false)],
    ["general.file_type", TYPES.u32(7)],
  ];
}

const padding = (bytes) => (ALIGNMENT - (bytes % ALIGNMENT)) % ALIGNMENT;

/** A vector of ones, or one stretch of random blocks, again and again: its length shares no factor with rows'. */
async function writeTensor(file, { rows, cols }, bytes, pattern) {
  if (rows === 0) await file.write(Buffer.from(new Float32Array(cols).fill(1).buffer));
  for (let at = 0; rows > 0 && at < bytes; at += pattern.length) await file.write(pattern, 0, Math.min(pattern.length, bytes - at));
  await file.write(Buffer.alloc(padding(bytes)));
}

const PATTERN_BLOCKS = 131_071; // a prime

/** A fixed stream of random bits. */
function randomWords(count) {
  const words = new Uint32Array(count);
  let state = 0x9e3779b9;
  for (let i = 0; i < count; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return words;
}

function randomBlocks({ bytes, scales }) {
  const buffer = Buffer.from(randomWords(Math.ceil((PATTERN_BLOCKS * bytes) / 4)).buffer, 0, PATTERN_BLOCKS * bytes);
  for (let block = 0; block < PATTERN_BLOCKS; block++) {
    for (const [place, half] of scales) buffer.writeUInt16LE(half, block * bytes + place);
  }
  return buffer;
}

/** F8_E4M3: random bits but one of the exponent's, so that none is NaN. */
function randomElements() {
  return Buffer.from(randomWords(PATTERN_BLOCKS).map((bits) => bits & 0xf7f7f7f7).buffer, 0, 4 * PATTERN_BLOCKS - 1);
}

/** bfloat16: random signs and mantissas, exponents from 2^-7 to 2^-4. */
function randomHalves() {
  const halves = new Uint16Array(randomWords(PATTERN_BLOCKS).buffer, 0, 2 * PATTERN_BLOCKS - 1);
  return Buffer.from(halves.map((bits) => (bits & 0x81ff) | 0x3c00).buffer);
}
