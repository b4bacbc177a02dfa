// Every op against this machine's ceilings, measured in the same run: node bench/ops/run.mjs [--threads 2] [--isa avx512] [--only matmul] [--json]
// After `npm run build`. A time is the median of five calls' fastest run. "of ceiling" is the larger of bytes by read bandwidth and
// operations by peak (8-bit products where both sides have 8 bits, else float32 multiply-adds): which one it is says what limits the op.
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { native } from "../../dist/native/addon.js";
import { measureCeilings } from "../support/ceilings.mjs";

const BLOCKS = {
  F32: [1, 4],
  F16: [1, 2],
  BF16: [1, 2],
  Q8_0: [32, 34],
  Q4_0: [32, 18],
  Q5_0: [32, 22],
  Q4_K: [256, 144],
  Q6_K: [256, 210],
};

const { values: options } = parseArgs({
  options: {
    threads: { type: "string", default: "2" },
    isa: { type: "string", default: native().isas().at(-1) },
    only: { type: "string", default: "" },
    json: { type: "boolean", default: false },
  },
});
const threads = Number(options.threads);

const floats = (count, value = 0.5) => new Float32Array(count).fill(value);
const ascending = (count) => Int32Array.from({ length: count }, (_, i) => i);

function matmul(type, compute, rows, cols, count) {
  const bytes = ((rows * cols) / BLOCKS[type][0]) * BLOCKS[type][1];
  const outputs = [{ type, weight: new Uint8Array(bytes), rows, y: floats(count * rows) }];
  return {
    name: `matmul ${type} ${compute} T=${count} N=${rows} K=${cols}`,
    args: { x: floats(count * cols), count, cols, compute, outputs },
    bytes: bytes + 4 * count * (rows + cols),
    operations: 2 * count * rows * cols,
    int8: compute === "int8" && BLOCKS[type][0] > 1,
  };
}

/** Rows of one length over caches of their own. */
function paged(rows, start, count, kvHeads, headSize, pageSize = 32) {
  const need = Math.ceil((start + count) / pageSize);
  const bytes = rows * need * kvHeads * headSize * pageSize * 2;
  const step = (size) => ascending(rows + 1).map((i) => i * size);
  return {
    indptr: step(count),
    starts: new Int32Array(rows).fill(start),
    pageIndptr: step(need),
    pageFirst: new Int32Array(rows),
    pages: ascending(rows * need),
    type: "F16",
    kvHeads,
    headSize,
    pageSize,
    kCache: new Uint8Array(bytes),
    vCache: new Uint8Array(bytes),
  };
}

function attention(rows, start, count, queryHeads, kvHeads, headSize) {
  const size = rows * count * queryHeads * headSize;
  const pairs = rows * count * (start + (count + 1) / 2) * queryHeads;
  return {
    name: `attention B=${rows} context=${start + count} T=${count} Hq=${queryHeads} Hkv=${kvHeads} D=${headSize}`,
    args: { ...paged(rows, start, count, kvHeads, headSize), q: floats(size), out: floats(size), queryHeads, scale: 0.125, window: 0 },
    bytes: rows * (start + count) * kvHeads * headSize * 4 + 8 * size,
    operations: 4 * headSize * pairs,
  };
}

function sample(name, vocab, params) {
  const logits = Float32Array.from({ length: vocab }, (_, i) => 12 * Math.sin(i * i));
  const results = {
    token: new Int32Array(1),
    logprob: floats(1),
    logSum: new Float64Array(1),
    topTokens: new Int32Array(0),
    topLogprobs: floats(0),
  };
  return {
    name: `sample ${name} V=${vocab}`,
    args: { logits, rows: 1, vocab, wantChoose: true, ...results, ...params },
    bytes: 4 * vocab,
    operations: 0,
  };
}

function cases() {
  const [T, hidden, size] = [512, 2048, 512 * 2048];
  const x = () => floats(size);
  const list = [
    ...Object.keys(BLOCKS).map((type) => matmul(type, "int8", 32768, 2048, 1)),
    ...Object.keys(BLOCKS).flatMap((type) => [16, 256].map((count) => matmul(type, "int8", 4096, 2048, count))),
    ...["Q8_0", "Q4_0", "Q4_K"].flatMap((type) => [1, 256].map((count) => matmul(type, "f32", 8192, 2048, count))),
    attention(1, 8191, 1, 32, 8, 64),
    attention(32, 511, 1, 9, 3, 64),
    attention(1, 0, 512, 9, 3, 64),
    attention(1, 7680, 512, 32, 8, 64),
    { name: `add ${size}`, args: { x: x(), y: floats(size, 0) }, bytes: 12 * size },
    { name: `glu ${size}`, args: { gate: x(), up: x(), y: x(), activation: "silu" }, bytes: 12 * size },
    {
      name: `rmsnorm ${T} x ${hidden}`,
      args: { x: x(), y: x(), weight: floats(hidden), rows: T, cols: hidden, epsilon: 1e-5 },
      bytes: 8 * size,
    },
    {
      name: `rope T=${T} H=32 D=64`,
      args: {
        x: x(),
        positions: ascending(T),
        frequencies: floats(32),
        count: T,
        heads: 32,
        headSize: 64,
        pairs: 32,
        scale: 1,
        interleaved: false,
      },
      bytes: 8 * size,
    },
    {
      name: `append_kv T=${T} Hkv=8 D=64`,
      args: { ...paged(1, 0, T, 8, 64), k: floats(T * 512), v: floats(T * 512) },
      bytes: T * 512 * 12,
    },
    {
      name: `embed Q4_0 T=${T} K=${hidden}`,
      args: {
        type: "Q4_0",
        table: new Uint8Array((4096 * hidden * 18) / 32),
        rows: 4096,
        cols: hidden,
        tokens: ascending(T),
        count: T,
        scale: 1,
        y: x(),
      },
      bytes: T * hidden * (18 / 32 + 4),
    },
    sample("greedy", 128_000, { temperature: 0 }),
    sample("temperature", 128_000, {}),
    sample("topK 40, topP 0.95", 128_000, { topK: 40, topP: 0.95 }),
    sample("topP 0.95", 128_000, { topP: 0.95 }),
  ];
  return list.filter(({ name }) => name.startsWith(options.only));
}

function measure({ name, args, bytes, operations = 0, int8 = false }, ceilings) {
  const repeat = operations > 1e10 ? 2 : 20;
  const call = () => native().op(name.split(" ")[0], { isa: options.isa, threads, repeat }, args).seconds;
  const seconds = Array.from({ length: 5 }, call).sort((a, b) => a - b)[2];
  const [GBs, Gops] = [bytes / seconds / 1e9, operations / seconds / 1e9];
  const peak = int8 && ceilings.int8Gops > 0 ? ceilings.int8Gops : ceilings.fmaGops;
  return { name, microseconds: seconds * 1e6, GBs, Gops, ofCeiling: Math.max(GBs / ceilings.readGBs, Gops / peak) };
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
