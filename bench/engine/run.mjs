// The engine's figures, against node-llama-cpp in the same run: npm run bench:cpu [-- --only decode] [-- --rounds 3]
// Writes bench/results/cpu.json; see bench/README.md for the method.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../../dist/cli/bench.js";
import { chooseCases } from "../support/cases.mjs";
import { measureCeilings } from "../support/ceilings.mjs";
import { makeModel, weightBytes } from "../support/make-model.mjs";
import { printCase, writeResults } from "../support/report.mjs";
import { batching, fairness, neighbour, prefix } from "./serving.mjs";

const THREADS = 2; // the peer's programs say the same
const { values: options } = parseArgs({ options: { only: { type: "string", default: "" }, rounds: { type: "string", default: "3" } } });
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const hasPeer = existsSync(at("../peers/node_modules/node-llama-cpp"));
if (!hasPeer) console.warn("node-llama-cpp is not installed, so there is nothing to compare with: npm ci --prefix bench/peers");

/** What a program prints in its last line. */
function node(script, ...args) {
  const output = execFileSync(process.execPath, [at(script), ...args.map(String)], { encoding: "utf8" });
  return JSON.parse(output.trim().split("\n").at(-1));
}

const of = (runs, field) => median(runs.map((run) => run[field]));

/** Runs of kvasir and of the peer's two modes in turn, so that a drifting machine is fair to all. */
function takeTurns(script, ...args) {
  const runs = { kvasir: [], timer: [], plain: [] };
  for (let round = 0; round < Number(options.rounds); round++) {
    runs.kvasir.push(...node(script, ...args));
    for (const mode of hasPeer ? ["timer", "plain"] : []) runs[mode].push(...node(`../peers/${script}`, ...args, mode));
  }
  return runs;
}

/** Medians of `field` and their ratio, where the peer's better mode counts: `best` is Math.max for speeds, Math.min for times. */
function compare(runs, field, best) {
  const kvasir = of(runs.kvasir, field);
  if (!hasPeer) return { kvasir };
  const modes = { timer: of(runs.timer, field), plain: of(runs.plain, field) };
  return { kvasir, ...modes, ratio: kvasir / best(modes.timer, modes.plain) };
}

/** After a prompt of 128 tokens, 64 more. */
async function decode(name, ceilings) {
  const speeds = compare(takeTurns("decode.mjs", await makeModel(name), 128, 64, 3), "tokensPerSecond", Math.max);
  return { tokensPerSecond: speeds, ofReadBandwidth: (speeds.kvasir * weightBytes(name)) / 1e9 / ceilings.readGBs };
}

/** Prompt tokens per second until the first token. */
async function prefill(name) {
  const path = await makeModel(name);
  const speedsOf = (prompt) => compare(takeTurns("decode.mjs", path, prompt, 1, 3), "promptTokensPerSecond", Math.max);
  return { prompt128: speedsOf(128), prompt512: speedsOf(512) };
}

/** From the start of the process to the first token, and how much of it until the model was ready. */
async function coldStart(name) {
  const runs = takeTurns("cold.mjs", await makeModel(name));
  return { readyMs: compare(runs, "readyMs", Math.min), firstTokenMs: compare(runs, "firstTokenMs", Math.min) };
}

const SMOL = "smollm2-135m";
const LLAMA = "llama-3.2-1b";
const tales = at("../../../shared/models/tales/tales-q8_0.gguf");
const decodeBars = { "tokensPerSecond.ratio": [">=", 1] };
const batchingBars = { ratio: [">=", 2.5], eventLoopDelayP99Ms: ["<=", 10] };

/** What is measured, and the figures that have a bar. */
const CASES = {
  [`decode ${SMOL} q8_0`]: { run: (ceilings) => decode(SMOL, ceilings), bars: decodeBars },
  [`decode ${LLAMA} q8_0`]: { run: (ceilings) => decode(LLAMA, ceilings), bars: decodeBars },
  [`prefill ${SMOL} q8_0`]: { run: () => prefill(SMOL), bars: {} },
  [`cold start ${SMOL} q8_0`]: { run: () => coldStart(SMOL), bars: {} },
  [`32 streams ${existsSync(tales) ? "tales q8_0" : "tales q4_0"}`]: {
    run: () => batching(existsSync(tales) ? tales : "tales"),
    bars: batchingBars,
  },
  [`32 streams ${SMOL} q8_0`]: { run: async () => batching(await makeModel(SMOL)), bars: batchingBars },
  [`fairness ${SMOL} q8_0`]: {
    run: async () => fairness(await makeModel(SMOL)),
    bars: { ratio: ["<=", 3], longestGapMs: ["<=", 150], promptRatio: ["<=", 1.1], throughputRatio: [">=", 0.9] },
  },
  [`busy neighbour ${SMOL} q8_0`]: { run: async () => neighbour(await makeModel(SMOL)), bars: { ratio: [">=", 0.5] } },
  [`prefix cache ${SMOL} q8_0`]: { run: async () => prefix(await makeModel(SMOL)), bars: { ratio: ["<=", 0.15] } },
};

const chosen = chooseCases(Object.keys(CASES), options.only);
const ceilings = measureCeilings(THREADS);
const results = {};
for (const name of chosen) {
  const { run, bars } = CASES[name];
  results[name] = await run(ceilings);
  printCase(name, results[name], bars);
}
writeResults(at("../results/cpu.json"), { command: "npm run bench:cpu", threads: THREADS, ceilings }, results);
