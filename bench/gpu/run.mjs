// The engine's figures on the first GPU, through the public API: npm run bench:gpu [-- --only llama-3.2-1b] [-- --commit]
// After `npm run build:cuda`; skips loudly without a GPU. Writes .cache/results/gpu.json, with --commit bench/results/gpu.json; see bench/README.md for the method.
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { Engine } from "../../dist/index.js";
import { chooseCases, OPTIONS } from "../support/cases.mjs";
import { gpu } from "../support/gpu.mjs";
import { makeModel } from "../support/make-model.mjs";
import { printCase, writeResults } from "../support/report.mjs";
import { weightBytes } from "../support/shapes.mjs";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values: options } = parseArgs({ options: OPTIONS });
/** What is measured, and what the project wants of it (an H100's figures: performance is a promise for those). */
const CASES = {
  "smollm2-135m q8_0": {},
  "qwen3-0.6b bf16": { "decode.batch1": [">=", 1200] },
  "llama-3.2-1b q8_0": {},
  "llama-3.1-8b fp8": {},
  "llama-3.1-8b q8_0": { "decode.batch1": [">=", 300] },
  "llama-3.1-8b q4_0": { "decode.batch1": [">=", 420] },
  "llama-3.1-8b q4_k": {
    "decode.batch1": [">=", 420],
    "decode.batch32": [">=", 5000],
    "prefill.prompt4096": [">=", 30_000],
    firstTokenSeconds: ["<=", 3],
  },
  "llama-3.1-8b bf16": { "decode.batch1": [">=", 175], "decode.batch128after1024": [">=", 8900], "prefill.prompt4096": [">=", 35_000] },
};
const chosen = chooseCases(Object.keys(CASES), options.only);

/** Rows of `kvasir bench` of one prompt length, in a process of its own. */
function rows(model, prompt, batches) {
  const args = ["bench", "--model", model, "--device", "cuda", "--json", "--prompt", prompt, "--batch", batches, "--tokens", 128];
  return JSON.parse(
    execFileSync(process.execPath, [at("../../dist/cli/main.js"), ...args.map(String)], { encoding: "utf8", stdio: "pipe" }),
  );
}

/** From nothing to the first token, the file being in the page cache: opening the engine and a prompt of 16 tokens. */
async function firstTokenSeconds(model) {
  const start = performance.now();
  const engine = await Engine.open(model, { device: "cuda" });
  await engine.generate(
    Array.from({ length: 16 }, (_, i) => 10 + i),
    { maxTokens: 1, ignoreEos: true },
  );
  const seconds = (performance.now() - start) / 1000;
  await engine.close();
  return seconds;
}

async function measure(name, type) {
  const model = await makeModel(name, type);
  const speed = (found, phase, batch) => found.find((row) => row.phase === phase && row.batch === batch).tokensPerSecond;
  const short = rows(model, 512, "1,8,32,64");
  const long = rows(model, 4096, "1");
  const many = rows(model, 1024, "128");
  const decode = Object.fromEntries([1, 8, 32, 64].map((batch) => [`batch${batch}`, speed(short, "decode", batch)]));
  return {
    decode: { ...decode, after4096: speed(long, "decode", 1), batch128after1024: speed(many, "decode", 128) },
    weightGBs: (decode.batch1 * weightBytes(name, type)) / 1e9,
    prefill: { prompt512: speed(short, "prefill", 1), prompt4096: speed(long, "prefill", 1) },
    firstTokenSeconds: await firstTokenSeconds(model),
  };
}

const card = gpu();
if (card === undefined) {
  console.warn("SKIPPED: there is no NVIDIA GPU here, so nothing of the CUDA back end was measured");
} else {
  for (const title of chosen) {
    const figures = await measure(...title.split(" "));
    printCase(title, figures, CASES[title]);
    writeResults("gpu", options, { command: "npm run bench:gpu", gpu: card }, { [title]: figures }); // kept, whatever the next one does
  }
}
