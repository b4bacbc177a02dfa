// Quality figures: perplexity by llama.cpp's protocol, and nats per token against the float32 reference: npm run bench:quality [-- --commit]
// Needs the reference material in ../shared beside the checkout; writes .cache/results/quality.json, with --commit bench/results/quality.json.
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { evaluate } from "../../dist/cli/eval.js";
import { Engine } from "../../dist/index.js";
import { OPTIONS } from "../support/cases.mjs";
import { machine, resultsPath, writeJson } from "../support/report.mjs";

const { values: options } = parseArgs({ options: { commit: OPTIONS.commit } });
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const models = at("../../../shared/models/");
if (!existsSync(models)) {
  console.warn("SKIPPED: the reference material ../shared is absent, and with it the texts and the exact figures");
  process.exit(0);
}

/** Exact figures: float32 arithmetic on the exactly dequantized weights, by an independent implementation. */
const PERPLEXITY = { q8_0: 23.9242, q4_k_m: 24.1836, q4_0: 25.0233 };
const NATS = { tales: 2.761541, "tales-draft": 3.179645 };

async function withEngine(path, options, body) {
  const engine = await Engine.open(path, options);
  try {
    return await body(engine);
  } finally {
    await engine.close();
  }
}

const row = (what, compute, value, exact) => ({ what, compute, value, exact, off: value / exact - 1 });

async function perplexity(type, compute) {
  const text = readFileSync(`${models}tales/eval.txt`, "utf8");
  const found = await withEngine(`${models}tales/tales-${type}.gguf`, { compute }, (engine) => evaluate(engine, text));
  return row(`perplexity tales ${type}`, compute, found.perplexity, PERPLEXITY[type]);
}

/** 64 windows of 512 predictions; window j is tokens [512 j, 512 j + 513). */
async function nats(model, compute, kvType) {
  const file = readFileSync(`${models}${model}/reference.safetensors`);
  const headerBytes = Number(file.readBigUInt64LE(0));
  const [from, to] = JSON.parse(file.toString("utf8", 8, 8 + headerBytes)).ppl_tokens.data_offsets;
  const bytes = file.subarray(8 + headerBytes + from, 8 + headerBytes + to);
  const tokens = new Int32Array(Uint8Array.from(bytes).buffer);
  const sum = await withEngine(`${models}${model}`, { compute, kvType }, async (engine) => {
    const windows = Array.from({ length: 64 }, (_, j) => engine.score(tokens.slice(512 * j, 512 * j + 513)));
    const scores = await Promise.all(windows);
    return scores.reduce((total, { logprobs }) => total + logprobs.subarray(1).reduce((s, logprob) => s - logprob, 0), 0);
  });
  return row(`nats per token ${model}${kvType === "fp8" ? ", fp8 cache" : ""}`, compute, sum / (64 * 512), NATS[model]);
}

const rows = [];
for (const type of Object.keys(PERPLEXITY)) for (const compute of ["f32", "auto"]) rows.push(await perplexity(type, compute));
for (const model of Object.keys(NATS)) {
  rows.push(await nats(model, "f32", "f32"));
  rows.push(await nats(model, "bf16", "bf16"));
  rows.push(await nats(model, "f32", "fp8"));
}
for (const { what, compute, value, exact, off } of rows) {
  console.log(`${what.padEnd(38)} ${compute.padEnd(5)} ${value.toFixed(6).padStart(10)}  exact ${exact}  off ${(off * 100).toFixed(4)} %`);
}
writeJson(resultsPath("quality", options.commit), { ...machine(), command: "npm run bench:quality", rows });
