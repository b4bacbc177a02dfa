// The engine's figures, against other engines in the same run: npm run bench:cpu [-- --only decode] [-- --rounds 3] [-- --commit]
// Writes .cache/results/cpu.json, with --commit bench/results/cpu.json; see bench/README.md for the method.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../../dist/cli/bench.js";
import { isInstalled, PEERS } from "../peers/peers.mjs";
import { chooseCases, OPTIONS } from "../support/cases.mjs";
import { measureCeilings } from "../support/ceilings.mjs";
import { makeModel, weightBytes } from "../support/make-model.mjs";
import { runScript } from "../support/process.mjs";
import { printCase, writeResults } from "../support/report.mjs";
import { batching, fairness, neighbour, prefix } from "./serving.mjs";

const THREADS = 2; // case.mjs says the same
const { values: options } = parseArgs({ options: { ...OPTIONS, rounds: { type: "string", default: "3" } } });
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const missing = Object.keys(PEERS).filter((name) => !isInstalled(name));
if (missing.length > 0) console.warn(`not compared with ${missing.join(" and ")}: not installed (npm ci --prefix bench/peers)`);

/** What runs: kvasir, and the peers that are installed in each of their modes. */
const ENGINES = {
  kvasir: { script: at("kvasir.mjs"), modes: ["plain"] },
  ...Object.fromEntries(Object.entries(PEERS).filter(([name]) => isInstalled(name))),
};

/** Runs of each engine and mode in turn, so that a drifting machine is fair to all. */
function takeTurns(model, ...kind) {
  const turns = Object.entries(ENGINES).flatMap(([name, { script, modes }]) => modes.map((mode) => ({ name, script, mode, runs: [] })));
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const { script, mode, runs } of turns) runs.push(...runScript(at("case.mjs"), [script, model, mode, ...kind]));
  }
  return turns;
}

/** Each engine's median of `field` in its better mode, and kvasir's by the best peer's: `best` is Math.max for speeds, Math.min for times. */
function compare(turns, field, best) {
  const medianOf = ({ runs }) => median(runs.map((run) => run[field]));
  const figureOf = (name) => best(...turns.filter((turn) => turn.name === name).map(medianOf));
  const peers = Object.keys(PEERS).filter((name) => name in ENGINES);
  const figures = Object.fromEntries(["kvasir", ...peers].map((name) => [name, figureOf(name)]));
  if (peers.length > 0) figures.ratio = figures.kvasir / best(...peers.map((name) => figures[name]));
  for (const name of missing) figures[name] = "not installed";
  return figures;
}

/** After a prompt of 128 tokens, 64 more. */
async function decode(name, ceilings) {
  const speeds = compare(takeTurns(await makeModel(name), "decode", 128, 64), "tokensPerSecond", Math.max);
  return { tokensPerSecond: speeds, ofReadBandwidth: (speeds.kvasir * weightBytes(name)) / 1e9 / ceilings.readGBs };
}

/** Prompt tokens per second until the first token. */
async function prefill(name) {
  const path = await makeModel(name);
  const speedsOf = (prompt) => compare(takeTurns(path, "decode", prompt, 1), "promptTokensPerSecond", Math.max);
  return { prompt128: speedsOf(128), prompt512: speedsOf(512) };
}

/** From the start of the process to the first token, and how much of it until the model was ready. */
async function coldStart(name) {
  const turns = takeTurns(await makeModel(name), "first");
  return { readyMs: compare(turns, "readyMs", Math.min), firstTokenMs: compare(turns, "firstTokenMs", Math.min) };
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
writeResults("cpu", options, { command: "npm run bench:cpu", threads: THREADS, ceilings }, results);
