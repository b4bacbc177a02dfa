// What the first GPU does in a decode step of the engine, and how long it does nothing: npm run bench:gpu:trace [-- llama-3.1-8b q4_k 64] [-- --commit]
// After `npm run build:cuda`; needs g++ and the CUDA toolkit (CUPTI). Writes gpu-trace.json, see support/report.mjs.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../../dist/cli/bench.js";
import { OPTIONS } from "../support/cases.mjs";
import { gpu } from "../support/gpu.mjs";
import { makeModel } from "../support/make-model.mjs";
import { printCase, writeResults } from "../support/report.mjs";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const { values: options, positionals } = parseArgs({ allowPositionals: true, options: { commit: OPTIONS.commit } });
const [name = "llama-3.1-8b", type = "q4_k", batch = "64"] = positionals;
const STEPS = 40; // the last of the run, less those in which requests end
const ENDING = 4;
const KERNELS = [
  "narrow_matmul",
  "wide_matmul",
  "prompt_matmul",
  "attend_few",
  "attend_many",
  "attend_prompt",
  "add_norm",
  "qk_rope_append",
  "embed",
  "gather_rows",
  "scale_logits",
  "sample",
];

/** The library that writes the trace, built here. */
function buildTracer() {
  const cuda = "/usr/local/cuda";
  const folders = ["", "/extras/CUPTI"].flatMap((part) => [`-I${cuda}${part}/include`, `-L${cuda}${part}/lib64`]);
  mkdirSync(at("../../.cache"), { recursive: true });
  const library = at("../../.cache/trace.so");
  execFileSync("g++", ["-O2", "-shared", "-fPIC", at("trace.cc"), "-o", library, ...folders, "-lcupti"]);
  return { library, libraries: `${cuda}/extras/CUPTI/lib64:${cuda}/lib64` };
}

/** Kernels and copies of a run of `kvasir bench`, in order. */
async function trace() {
  const { library, libraries } = buildTracer();
  const out = at("../../.cache/trace.txt");
  const args = ["bench", "--model", await makeModel(name, type), "--device", "cuda", "--prompt", "512", "--batch", batch, "--tokens", "64"];
  const env = { ...process.env, CUDA_INJECTION64_PATH: library, TRACE_OUT: out, LD_LIBRARY_PATH: libraries };
  execFileSync(process.execPath, [at("../../dist/cli/main.js"), ...args, "--json"], { env, stdio: "pipe" });
  const records = readFileSync(out, "utf8").trim().split("\n");
  rmSync(out);
  const parsed = records.map((line) => /^(\d+) (\d+) (.*)$/.exec(line)).filter((match) => match !== null);
  const begin = BigInt(parsed[0][1]); // nanoseconds since 1970 are more than a number holds
  const since = (time) => Number(BigInt(time) - begin);
  return parsed
    .map(([, start, end, kernel]) => ({
      start: since(start),
      end: since(end),
      name: KERNELS.find((part) => kernel.includes(part)) ?? "other",
    }))
    .sort((a, b) => a.start - b.start);
}

/** Of a step's records: its microseconds, those in which nothing ran, and what each kind of kernel adds to what ran before it. */
function account(records, stepEnd) {
  let until = records[0].start;
  let idle = 0;
  const adds = {};
  for (const { start, end, name } of records) {
    idle += Math.max(0, start - until);
    adds[name] = (adds[name] ?? 0) + Math.max(0, end - Math.max(start, until)) / 1000;
    until = Math.max(until, end);
  }
  return { us: (stepEnd - records[0].start) / 1000, idleUs: (idle + Math.max(0, stepEnd - until)) / 1000, adds };
}

/** The last decode steps; a step begins with its tokens' embedding. */
function lastSteps(records) {
  const begins = records.flatMap(({ name }, i) => (name === "embed" ? [i] : []));
  const steps = begins.slice(0, -1).map((begin, i) => account(records.slice(begin, begins[i + 1]), records[begins[i + 1]].start));
  if (steps.length <= ENDING) throw new Error(`the run has ${steps.length} steps; expected more than the ${ENDING} in which requests end`);
  return steps.slice(-STEPS - ENDING, -ENDING);
}

const card = gpu();
if (card === undefined || !existsSync("/usr/local/cuda/bin/nvcc")) {
  console.warn("SKIPPED: there is no NVIDIA GPU or no CUDA toolkit here, so no step was traced");
} else {
  const steps = lastSteps(await trace());
  const middle = (of) => median(steps.map(of));
  const figures = {
    stepUs: middle(({ us }) => us),
    idleUs: middle(({ idleUs }) => idleUs),
    idlePercent: middle(({ us, idleUs }) => (100 * idleUs) / us),
    adds: Object.fromEntries(Object.keys(steps[0].adds).map((kernel) => [kernel, middle(({ adds }) => adds[kernel] ?? 0)])),
  };
  const title = `${name} ${type}, batch ${batch}`;
  printCase(title, figures, { idlePercent: ["<=", 2] });
  writeResults("gpu-trace", options, { command: "npm run bench:gpu:trace", gpu: card }, { [title]: figures });
}
