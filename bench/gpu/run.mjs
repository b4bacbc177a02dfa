// The engine's figures on the first GPU, through the public API: npm run bench:gpu [-- --only llama-3.2-1b]
// After `npm run build:cuda`; skips loudly without a GPU. Writes bench/results/gpu.json; see bench/README.md for the method.
import { execFileSync, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chooseCases } from "../support/cases.mjs";
import { makeModel, weightBytes } from "../support/make-model.mjs";
import { printCase, writeResults } from "../support/report.mjs";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values: options } = parseArgs({ options: { only: { type: "string", default: "" } } });
const MODELS = ["smollm2-135m q8_0", "llama-3.2-1b q8_0", "llama-3.1-8b q8_0", "llama-3.1-8b q4_k", "llama-3.1-8b bf16"];
const chosen = chooseCases(MODELS, options.only);

/** What the driver says of the first card. */
function gpu() {
  const query = ["name", "driver_version", "clocks.max.sm", "clocks.max.mem", "power.limit"];
  const { status, stdout } = spawnSync("nvidia-smi", [`--query-gpu=${query}`, "--format=csv,noheader", "--id=0"], { encoding: "utf8" });
  if (status !== 0) return undefined;
  const [name, driver, smClock, memoryClock, powerLimit] = stdout.trim().split(", ");
  return { name, driver, smClock, memoryClock, powerLimit };
}

/** Rows of `kvasir bench` of one prompt length, in a process of its own. */
function rows(model, prompt, batches) {
  const args = ["bench", "--model", model, "--device", "cuda", "--json", "--prompt", prompt, "--batch", batches, "--tokens", 128];
  return JSON.parse(execFileSync(process.execPath, [at("../../dist/cli/main.js"), ...args.map(String)], { encoding: "utf8" }));
}

async function measure(name, type) {
  const model = await makeModel(name, type);
  const speed = (found, phase, batch) => found.find((row) => row.phase === phase && row.batch === batch).tokensPerSecond;
  const short = rows(model, 512, "1,8,32,64");
  const long = rows(model, 4096, "1");
  const decode = Object.fromEntries([1, 8, 32, 64].map((batch) => [`batch${batch}`, speed(short, "decode", batch)]));
  return {
    decode: { ...decode, after4096: speed(long, "decode", 1) },
    weightGBs: (decode.batch1 * weightBytes(name, type)) / 1e9,
    prefill: { prompt512: speed(short, "prefill", 1), prompt4096: speed(long, "prefill", 1) },
  };
}

const card = gpu();
if (card === undefined) {
  console.warn("SKIPPED: there is no NVIDIA GPU here, so nothing of the CUDA back end was measured");
} else {
  const results = {};
  for (const title of chosen) {
    results[title] = await measure(...title.split(" "));
    printCase(title, results[title], {});
  }
  writeResults(at("../results/gpu.json"), { command: "npm run bench:gpu", gpu: card }, results);
}
