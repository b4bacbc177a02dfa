// Every op against this machine's ceilings, measured in the same run:
//   node bench/ops/run.mjs [--threads 2] [--isa avx512] [--only matmul] [--rounds 5] [--json]
// After `npm run build`. A time is the median of the rounds' calls, of each its fastest run. "of ceiling" is the larger of bytes by read bandwidth
// and operations by peak (of 8-bit or bfloat16 products where both sides have them, else of float32's): which one it is says what limits the op.
import { createRequire } from "node:module";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { median } from "../../dist/cli/bench.js";
import { hasLevels, TENSOR_TYPES } from "../../dist/model/spec.js";
import { PLAIN_SLOT, ROW_OUTPUT } from "../../dist/native/addon.js";
import { measureCeilings } from "../support/ceilings.mjs";
import { peakGops } from "../support/peaks.mjs";

// The addon of the tests: the shipped one runs no single ops.
const addon = createRequire(import.meta.url)("../../build/Release/test/kvasir_test.node");

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    isa: { type: "string", default: addon.isas().at(-1) },
    only: { type: "string", default: "" },
    rounds: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
  },
});
const threads = Number(options.threads);

const floats = (count, value = 0.5) => new Float32Array(count).fill(value);
const ascending = (count) => Int32Array.from({ length: count }, (_, i) => i);

/** The arithmetic of support/peaks.mjs that multiplies such weights. */
function productsOf(type, compute) {
  if (compute === "int8" && hasLevels(type)) return "int8";
  return compute === "bf16" && type === "BF16" ? "floats" : "f32";
}

/** One matrix, or gate and up of a gated unit; or one whose result is activated. */
function matmul(type, compute, rows, cols, count, epilogue, activation) {
  const bytes = ((rows * cols) / TENSOR_TYPES[type].block) * TENSOR_TYPES[type].bytes;
  const matrices = epilogue === "gate" ? 2 : 1;
  const outputs = Array.from({ length: matrices }, () => ({ type, weight: new Uint8Array(bytes), rows, y: floats(count * rows) }));
  return {
    name: `matmul ${type} ${compute} T=${count} N=${rows} K=${cols}${epilogue ? ` ${epilogue} by ${activation}` : ""}`,
    args: { x: floats(count * cols), rows: count, cols, compute, outputs, epilogue, activation },
    bytes: matrices * bytes + 4 * count * (matrices * rows + cols),
    operations: matrices * 2 * count * rows * cols,
    products: productsOf(type, compute),
  };
}

/** Of a cache. */
const elementBytes = (type) => (type === "F8_E4M3" ? 1 : 2);

/** Rows of one length over caches of their own. */
function paged(rows, start, count, kvHeads, headSize, type = "F16") {
  const pageSize = 32;
  const need = Math.ceil((start + count) / pageSize);
  const bytes = rows * need * kvHeads * headSize * pageSize * elementBytes(type);
  const multiples = (size) => ascending(rows + 1).map((i) => i * size);
  return {
    step: {
      qIndptr: multiples(count),
      starts: new Int32Array(rows).fill(start),
      kvIndptr: multiples(need),
      kvFirst: new Int32Array(rows),
      kvPages: ascending(rows * need),
    },
    cache: { type, kvHeads, headSize, pageSize, k: new Uint8Array(bytes), v: new Uint8Array(bytes) },
  };
}

function attention(rows, start, count, queryHeads, kvHeads, headSize, softcap = 0, type = "F16") {
  const size = rows * count * queryHeads * headSize;
  const pairs = rows * count * (start + (count + 1) / 2) * queryHeads;
  return {
    name: `attention B=${rows} context=${start + count} T=${count} Hq=${queryHeads} Hkv=${kvHeads} D=${headSize}${softcap ? " capped" : ""}${type === "F16" ? "" : ` ${type}`}`,
    args: {
      ...paged(rows, start, count, kvHeads, headSize, type),
      q: floats(size),
      out: floats(size),
      queryHeads,
      scale: 0.125,
      softcap,
      window: 0,
    },
    bytes: rows * (start + count) * kvHeads * headSize * 2 * elementBytes(type) + 8 * size,
    operations: 4 * headSize * pairs,
  };
}

function qkRopeAppend(count, queryHeads, kvHeads, headSize, norm) {
  const weight = norm ? floats(headSize) : undefined;
  const kv = () => floats(count * kvHeads * headSize);
  const rope = { frequencies: floats(headSize / 2), pairs: headSize / 2, scale: 1, interleaved: false };
  return {
    name: `qk_rope_append T=${count} Hq=${queryHeads} Hkv=${kvHeads} D=${headSize}${norm ? ` ${norm} norm` : ""}`,
    args: {
      ...paged(1, 0, count, kvHeads, headSize),
      q: floats(count * queryHeads * headSize),
      k: kv(),
      v: kv(),
      queryHeads,
      qNorm: weight,
      kNorm: weight,
      norm,
      epsilon: 1e-6,
      ...rope,
    },
    bytes: 8 * count * (queryHeads + 2 * kvHeads) * headSize,
  };
}

function addNorm(rows, cols, delta, postWeight, norm) {
  const matrix = () => floats(rows * cols);
  return {
    name: `add_norm ${norm} ${rows} x ${cols}${delta ? "" : " without delta"}${postWeight ? " with post_weight" : ""}`,
    args: {
      x: matrix(),
      delta: delta ? matrix() : undefined,
      postWeight: postWeight ? floats(cols) : undefined,
      y: matrix(),
      weight: floats(cols),
      norm,
      rows,
      cols,
      epsilon: 1e-5,
    },
    bytes: (delta ? 16 : 8) * rows * cols,
  };
}

function embed(type, count, cols) {
  const rows = 4096;
  const { block, bytes } = TENSOR_TYPES[type];
  const table = new Uint8Array((rows * cols * bytes) / block);
  return {
    name: `embed ${type} T=${count} K=${cols}`,
    args: {
      step: { qIndptr: Int32Array.of(0, count), tokens: ascending(count) },
      type,
      table,
      rows,
      cols,
      scale: 1,
      y: floats(count * cols),
    },
    bytes: count * cols * (bytes / block + 4),
  };
}

function gatherRows(count, cols) {
  const qIndptr = ascending(count + 1).map((i) => i * 4);
  return {
    name: `gather_rows ${count} x ${cols}`,
    args: { step: { qIndptr, outIndptr: ascending(count + 1) }, x: floats(4 * count * cols), y: floats(count * cols), cols },
    bytes: 8 * count * cols,
  };
}

function scaleLogits(rows, cols, softcap) {
  return {
    name: `scale_logits ${rows} x ${cols}${softcap ? " capped" : ""}`,
    args: { x: floats(rows * cols), rows, cols, scale: 0.99, softcap },
    bytes: 8 * rows * cols,
  };
}

function sample(name, vocab, params) {
  const logits = Float32Array.from({ length: vocab }, (_, i) => 12 * Math.sin(i * i));
  const one = Int32Array.of(0, 1);
  const step = { qIndptr: one, outIndptr: one, kinds: Int32Array.of(ROW_OUTPUT.sample), logits };
  return {
    name: `sample ${name} V=${vocab}`,
    args: { vocab, slots: [{ ...PLAIN_SLOT, temperature: 1, ...params }], steps: [step] },
    bytes: 4 * vocab,
  };
}

function cases() {
  const [T, hidden] = [512, 2048];
  const list = [
    ...Object.keys(TENSOR_TYPES).map((type) => matmul(type, "int8", 32768, 2048, 1)),
    ...Object.keys(TENSOR_TYPES).flatMap((type) => [16, 256].map((count) => matmul(type, "int8", 4096, 2048, count))),
    ...["Q8_0", "Q4_0", "Q4_K"].flatMap((type) => [1, 256].map((count) => matmul(type, "f32", 8192, 2048, count))),
    ...[1, 16, 256].map((count) => matmul("BF16", "bf16", 4096, 2048, count)),
    ...[1, 256].map((count) => matmul("Q8_0", "int8", 8192, 2048, count, "gate", "silu")),
    matmul("F16", "f32", 8192, 2048, 256, "activate", "gelu"),
    attention(1, 8191, 1, 32, 8, 64),
    attention(32, 511, 1, 9, 3, 64),
    attention(1, 0, 512, 9, 3, 64),
    attention(1, 7680, 512, 32, 8, 64),
    attention(1, 7680, 512, 32, 8, 64, 50),
    attention(1, 8191, 1, 32, 8, 64, 0, "F8_E4M3"),
    attention(1, 7680, 512, 32, 8, 64, 0, "F8_E4M3"),
    addNorm(T, hidden, true, false, "rms"),
    addNorm(T, hidden, true, true, "rms"),
    addNorm(T, hidden, false, false, "rms"),
    addNorm(T, hidden, true, false, "layer"),
    qkRopeAppend(T, 32, 8, 64, undefined),
    qkRopeAppend(T, 32, 8, 64, "rms"),
    qkRopeAppend(T, 32, 8, 64, "layer"),
    embed("Q4_0", T, hidden),
    gatherRows(32, hidden),
    scaleLogits(32, 256_000, 30),
    sample("greedy", 128_000, { temperature: 0 }),
    sample("temperature", 128_000, {}),
    sample("topK 40, topP 0.95", 128_000, { topK: 40, topP: 0.95 }),
    sample("topP 0.95", 128_000, { topP: 0.95 }),
    sample("topP 0.9", 262_144, { topP: 0.9 }),
    sample("topK 64, topP 0.95", 262_144, { topK: 64, topP: 0.95 }),
    sample("typicalP 0.95", 262_144, { typicalP: 0.95 }),
  ];
  return list.filter(({ name }) => name.startsWith(options.only));
}

function measure({ name, args, bytes, operations = 0, products = "f32" }, ceilings) {
  const repeat = operations > 1e10 ? 2 : 20;
  const call = () => addon.op(name.split(" ")[0], { isa: options.isa, threads, repeat }, args).seconds;
  const seconds = median(Array.from({ length: Number(options.rounds) }, call));
  const [GBs, Gops] = [bytes / seconds / 1e9, operations / seconds / 1e9];
  return { name, microseconds: seconds * 1e6, GBs, Gops, ofCeiling: Math.max(GBs / ceilings.readGBs, Gops / peakGops(ceilings, products)) };
}

const ceilings = measureCeilings(threads);
const results = cases().map((c) => measure(c, ceilings));
const machine = { processor: cpus()[0]?.model, isa: options.isa, threads, ...ceilings };
if (options.json) {
  console.log(JSON.stringify({ machine, results }, null, 1));
} else {
  console.log(machine);
  for (const { name, microseconds, GBs, Gops, ofCeiling } of results) {
    const cells = [
      `${microseconds.toFixed(0)} us`,
      `${GBs.toFixed(1)} GB/s`,
      `${Gops.toFixed(0)} Gop/s`,
      `${(100 * ofCeiling).toFixed(0)} %`,
    ];
    console.log(name.padEnd(60), ...cells.map((cell) => cell.padStart(12)));
  }
}
