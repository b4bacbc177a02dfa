/** A float64 reference for the ops: number formats of weights and caches written from ggml's and IEEE's definitions, seeded random data. */

/** A weight's element type, as in lib/model/spec.ts. */
export type WeightType = "F32" | "F16" | "BF16" | QuantizedType;

/** Those with blocks. */
export type QuantizedType =
  | ("Q8_0" | "Q4_0" | "Q4_1" | "Q5_0" | "Q5_1")
  | ("Q2_K" | "Q3_K" | "Q4_K" | "Q5_K" | "Q6_K")
  | ("IQ4_NL" | "IQ4_XS" | "MXFP4")
  | "F8_E4M3";

/** Elements and bytes of one block in the file. */
export const BLOCKS: Record<WeightType, { elements: number; bytes: number }> = {
  F32: { elements: 1, bytes: 4 },
  F16: { elements: 1, bytes: 2 },
  BF16: { elements: 1, bytes: 2 },
  Q8_0: { elements: 32, bytes: 34 },
  Q4_0: { elements: 32, bytes: 18 },
  Q4_1: { elements: 32, bytes: 20 },
  Q5_0: { elements: 32, bytes: 22 },
  Q5_1: { elements: 32, bytes: 24 },
  Q2_K: { elements: 256, bytes: 84 },
  Q3_K: { elements: 256, bytes: 110 },
  Q4_K: { elements: 256, bytes: 144 },
  Q5_K: { elements: 256, bytes: 176 },
  Q6_K: { elements: 256, bytes: 210 },
  IQ4_NL: { elements: 32, bytes: 18 },
  IQ4_XS: { elements: 256, bytes: 136 },
  MXFP4: { elements: 32, bytes: 17 },
  F8_E4M3: { elements: 64, bytes: 68 },
};

/** Those that GGUF files have. */
export const GGUF_TYPES = (Object.keys(BLOCKS) as WeightType[]).filter((type) => type !== "F8_E4M3");

/** Seeded random numbers (mulberry32). */
export class Random {
  private state: number;
  constructor(seed: number) {
    this.state = seed >>> 0;
  }
  uniform(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  /** An integer in [0, limit). */
  int(limit: number): number {
    return Math.floor(this.uniform() * limit);
  }
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }
  floats(count: number, scale = 1): Float32Array {
    return Float32Array.from({ length: count }, () => this.normal() * scale);
  }
}

/** The value of IEEE binary16 bits. */
export function fromHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}

/** x rounded to nearest even to a format with `fraction` bits after the leading one and the smallest normal exponent `least`. */
function roundTo(x: number, fraction: number, least: number): number {
  if (x === 0 || !Number.isFinite(x)) return x;
  const unit = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(x))), least) - fraction);
  const scaled = Math.abs(x) / unit;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  return Math.sign(x) * (rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor) * unit;
}

/** x rounded to float16; magnitudes from 65520 on are infinite. */
export function roundHalf(x: number): number {
  const rounded = roundTo(x, 10, -14);
  return Math.abs(rounded) >= 65536 ? Math.sign(rounded) * Number.POSITIVE_INFINITY : rounded;
}

/** x rounded to bfloat16. */
export function roundBf16(x: number): number {
  return roundTo(x, 7, -126);
}

/** x rounded to E4M3; magnitudes beyond 448 become that. */
function roundE4m3(x: number): number {
  const rounded = roundTo(x, 3, -6);
  return Math.abs(rounded) > 448 ? Math.sign(rounded) * 448 : rounded;
}

/** x rounded as a cache of this type keeps it. */
export function roundElement(type: string, x: number): number {
  if (type === "F16") return roundHalf(x);
  if (type === "F8_E4M3") return roundE4m3(x);
  return type === "BF16" ? roundBf16(x) : x;
}

/** Bits of a finite value that float16 has. */
export function toHalf(value: number): number {
  const sign = value < 0 ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size < 2 ** -14) return sign | (size * 2 ** 24);
  const exponent = Math.floor(Math.log2(size));
  return sign | ((exponent + 15) << 10) | (size * 2 ** (10 - exponent) - 1024);
}

type Dequantize = (block: DataView, out: (index: number, value: number) => void) => void;

const half = (block: DataView, at: number) => fromHalf(block.getUint16(at, true));

/** 32 nibbles from byte `at` on: those of i and i + 16 in one byte. */
function nibbles(block: DataView, at: number, use: (index: number, q: number) => void): void {
  for (let i = 0; i < 16; i++) {
    use(i, block.getUint8(at + i) & 15);
    use(i + 16, block.getUint8(at + i) >> 4);
  }
}

/** 2 bits of element e of 256: each 128 elements have 32 bytes, and in one byte elements 32 apart. */
function twoBits(block: DataView, at: number, e: number): number {
  return (block.getUint8(at + 32 * (e >> 7) + (e & 31)) >> (2 * ((e >> 5) & 3))) & 3;
}

/** Q4_K and Q5_K: 8 times 32 elements with a scale and a min, 6 bits each, nibbles from byte `at` on and a fifth bit. */
function fourOrFiveBits(b: DataView, at: number, fifth: (element: number) => number, out: (index: number, value: number) => void): void {
  const s = (j: number) => b.getUint8(4 + j);
  for (let j = 0; j < 8; j++) {
    const scale = j < 4 ? s(j) & 63 : (s(j + 4) & 15) + 16 * (s(j - 4) >> 6);
    const min = j < 4 ? s(j + 4) & 63 : (s(j + 4) >> 4) + 16 * (s(j) >> 6);
    for (let i = 0; i < 32; i++) {
      const q = ((b.getUint8(at + 32 * (j >> 1) + i) >> (4 * (j & 1))) & 15) + 16 * fifth(32 * j + i);
      out(32 * j + i, half(b, 0) * scale * q - half(b, 2) * min);
    }
  }
}

/** What the levels of IQ4_NL and IQ4_XS stand for. */
const IQ4 = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/** A number of 1 sign, 2 exponent (bias 1) and 1 mantissa bits: OCP Microscaling Formats 1.0, 5.3.3. */
function e2m1(bits: number): number {
  const exponent = (bits >> 1) & 3;
  const size = exponent === 0 ? (bits & 1) / 2 : (1 + (bits & 1) / 2) * 2 ** (exponent - 1);
  return bits & 8 ? -size : size;
}

/** A number of 1 sign, 4 exponent (bias 7) and 3 mantissa bits, without infinity: OCP 8-bit Floating Point Specification 1.0, 5.1. */
export function e4m3(bits: number): number {
  const exponent = (bits >> 3) & 15;
  const mantissa = bits & 7;
  const size = exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10);
  if (exponent === 15 && mantissa === 7) return Number.NaN;
  return bits & 0x80 ? -size : size;
}

const dequantizers: Record<WeightType, Dequantize> = {
  F32: (b, out) => out(0, b.getFloat32(0, true)),
  F16: (b, out) => out(0, half(b, 0)),
  BF16: (b, out) => {
    const wide = new DataView(new ArrayBuffer(4));
    wide.setUint32(0, b.getUint16(0, true) * 65536);
    out(0, wide.getFloat32(0));
  },
  Q8_0: (b, out) => {
    for (let i = 0; i < 32; i++) out(i, half(b, 0) * b.getInt8(2 + i));
  },
  Q4_0: (b, out) => nibbles(b, 2, (i, q) => out(i, half(b, 0) * (q - 8))),
  Q4_1: (b, out) => nibbles(b, 4, (i, q) => out(i, half(b, 0) * q + half(b, 2))),
  Q5_0: (b, out) => nibbles(b, 6, (i, q) => out(i, half(b, 0) * (q + 16 * ((b.getUint32(2, true) >>> i) & 1) - 16))),
  Q5_1: (b, out) => nibbles(b, 8, (i, q) => out(i, half(b, 0) * (q + 16 * ((b.getUint32(4, true) >>> i) & 1)) + half(b, 2))),
  Q2_K: (b, out) => {
    for (let e = 0; e < 256; e++) {
      const scale = b.getUint8(e >> 4);
      out(e, half(b, 80) * (scale & 15) * twoBits(b, 16, e) - half(b, 82) * (scale >> 4));
    }
  },
  Q3_K: (b, out) => {
    for (let e = 0; e < 256; e++) {
      const j = e >> 4; // 16 scales: their lower halves in 8 bytes, (j, j + 8) in one, their upper bits in 4, (j, j + 4, ...) in one
      const low = (b.getUint8(96 + (j % 8)) >> (j < 8 ? 0 : 4)) & 15;
      const scale = low + 16 * ((b.getUint8(104 + (j % 4)) >> (2 * (j >> 2))) & 3) - 32;
      const high = (b.getUint8(e & 31) >> (e >> 5)) & 1;
      out(e, half(b, 108) * scale * (twoBits(b, 32, e) - (high === 1 ? 0 : 4)));
    }
  },
  Q4_K: (b, out) => fourOrFiveBits(b, 16, () => 0, out),
  Q5_K: (b, out) => fourOrFiveBits(b, 48, (e) => (b.getUint8(16 + (e & 31)) >> (e >> 5)) & 1, out),
  Q6_K: (b, out) => {
    for (let e = 0; e < 256; e++) {
      const part = e >> 7; // each 128 elements have 64 bytes of low and 32 of high bits
      const quarter = (e >> 5) & 3;
      const low = (b.getUint8(64 * part + (e & 31) + 32 * (quarter & 1)) >> (4 * (quarter >> 1))) & 15;
      const high = (b.getUint8(128 + 32 * part + (e & 31)) >> (2 * quarter)) & 3;
      out(e, half(b, 208) * b.getInt8(192 + (e >> 4)) * (low + 16 * high - 32));
    }
  },
  IQ4_NL: (b, out) => nibbles(b, 2, (i, q) => out(i, half(b, 0) * IQ4[q]!)),
  IQ4_XS: (b, out) => {
    for (let j = 0; j < 8; j++) {
      const low = (b.getUint8(4 + (j >> 1)) >> (4 * (j & 1))) & 15;
      const scale = low + 16 * ((b.getUint16(2, true) >> (2 * j)) & 3) - 32;
      nibbles(b, 8 + 16 * j, (i, q) => out(32 * j + i, half(b, 0) * scale * IQ4[q]!));
    }
  },
  MXFP4: (b, out) => {
    const e = b.getUint8(0);
    nibbles(b, 1, (i, q) => out(i, (e === 255 ? Number.NaN : 2 ** (e - 127)) * e2m1(q)));
  },
  F8_E4M3: (b, out) => {
    for (let i = 0; i < 64; i++) out(i, Math.fround(b.getFloat32(0, true) * e4m3(b.getUint8(4 + i))));
  },
};

/** The elements of rows in the file's layout. */
export function dequantize(type: WeightType, bytes: Uint8Array): Float64Array {
  const block = BLOCKS[type];
  const values = new Float64Array((bytes.length / block.bytes) * block.elements);
  for (let i = 0; i * block.bytes < bytes.length; i++) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + i * block.bytes, block.bytes);
    dequantizers[type](view, (index, value) => {
      values[i * block.elements + index] = value;
    });
  }
  return values;
}

/** Places of the float16 scales of a block. */
export const SCALES: Partial<Record<WeightType, readonly number[]>> = {
  ...{ Q8_0: [0], Q4_0: [0], Q4_1: [0, 2], Q5_0: [0], Q5_1: [0, 2] },
  ...{ Q2_K: [80, 82], Q3_K: [108], Q4_K: [0, 2], Q5_K: [0, 2], Q6_K: [208] },
  ...{ IQ4_NL: [0], IQ4_XS: [0] },
};

/** Scales that make elements of about 1. */
const SIZES: Partial<Record<WeightType, number>> = {
  Q2_K: 0.02,
  Q3_K: 0.01,
  Q4_K: 0.001,
  Q5_K: 0.001,
  Q6_K: 0.001,
  IQ4_XS: 0.001,
  IQ4_NL: 0.01,
};

/** A random matrix in the file's layout: every bit pattern of levels, scales that make elements of about 1. */
export function randomWeight(type: WeightType, rows: number, cols: number, random: Random): Uint8Array {
  const block = BLOCKS[type];
  const bytes = new Uint8Array(((rows * cols) / block.elements) * block.bytes);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.int(256);
  for (let at = 0; at < bytes.length; at += block.bytes) {
    if (type === "F32") view.setFloat32(at, random.normal(), true);
    if (type === "F16") view.setUint16(at, toHalf(roundHalf(random.normal())), true);
    if (type === "BF16") view.setUint16(at, ((random.int(2) << 15) | (120 << 7)) + random.int(1024), true);
    if (type === "MXFP4") bytes[at] = 121 + random.int(8);
    if (type === "F8_E4M3") {
      view.setFloat32(at, random.normal() * 0.01, true);
      for (let i = at + 4; i < at + block.bytes; i++) if (Number.isNaN(e4m3(bytes[i]!))) bytes[i]! ^= 1;
    }
    for (const place of SCALES[type] ?? []) view.setUint16(at + place, toHalf(roundHalf(random.normal() * (SIZES[type] ?? 0.02))), true);
  }
  return bytes;
}

/** norm(a, weight) of each row: a / sqrt(mean of its squares + epsilon) * weight. */
export function normReference(a: ArrayLike<number>, weight: Float32Array, epsilon: number, kind: "rms" | "layer" = "rms"): Float64Array {
  const cols = weight.length;
  const y = Float64Array.from(a);
  for (let from = 0; from < y.length; from += cols) {
    const row = y.subarray(from, from + cols);
    const mean = kind === "layer" ? row.reduce((sum, v) => sum + v, 0) / cols : 0;
    row.forEach((v, i) => {
      row[i] = v - mean;
    });
    const root = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0) / cols + epsilon);
    row.forEach((v, i) => {
      row[i] = (v / root) * weight[i]!;
    });
  }
  return y;
}
