// The working tree against another commit, in turns: npm run bench:compare -- REV [--only decode] [--rounds 3] [--commit]
// Its published binary (npm run package:prebuilds) against the one that is built here: npm run bench:compare -- --prebuilt ...
// Writes .cache/results/compare.json or prebuilt.json, with --commit in bench/results/; see bench/README.md for the method.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { median } from "../../dist/cli/bench.js";
import { chooseCases, OPTIONS } from "../support/cases.mjs";
import { makeModel } from "../support/make-model.mjs";
import { runScript } from "../support/process.mjs";
import { writeResults } from "../support/report.mjs";
import { buildOf, commitOf, describeTree, ROOT } from "./commits.mjs";

const THREADS = 2; // case.mjs says the same
const BAR = 0.97;
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { ...OPTIONS, rounds: { type: "string", default: "7" }, prebuilt: { type: "boolean", default: false } },
});
const rounds = Number(options.rounds);
if (positionals.length !== (options.prebuilt ? 0 : 1))
  throw new Error(`REV is ${positionals.join(" ") || "missing"}; expected one commit, or --prebuilt`);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds is ${options.rounds}; expected a whole number from 1`);

const TALES = join(ROOT, "../shared/models/tales/tales-q8_0.gguf");
const MODELS = [
  existsSync(TALES)
    ? { model: "tales q8_0", open: () => TALES }
    : { model: "tales q4_0", open: () => join(ROOT, "models/tales-q4_0.gguf") },
  ...["q8_0", "q4_0", "bf16"].map((type) => ({ model: `smollm2-135m ${type}`, open: () => makeModel("smollm2-135m", type) })),
  ...["q8_0", "q4_k"].map((type) => ({ model: `llama-3.2-1b ${type}`, open: () => makeModel("llama-3.2-1b-49k", type) })),
];

/** What is measured of each model, as case.mjs takes it. */
const WORK = { "batch 1": ["decode", 1], "batch 8": ["decode", 8], "batch 32": ["decode", 32], "512 tokens": ["prefill", 512] };

const CASES = MODELS.flatMap(({ model, open }) =>
  Object.entries(WORK).map(([detail, [kind, size]]) => ({ name: `${kind} ${model} ${detail}`, open, kind, size })),
);

/** Tokens per second of a case in a process of its own: the median of its runs. */
function measure({ build, env }, model, { kind, size }) {
  return median(runScript(join(ROOT, "bench/compare/case.mjs"), [join(build, "dist/index.js"), model, kind, size], env));
}

/** Of each case, a pair of speeds a round. The two sides alternate, and a round has all cases, so that a drifting machine is fair to all. */
async function takeTurns(cases, sides) {
  const pairs = Object.fromEntries(cases.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const one of cases) {
      const model = await one.open();
      const turns = Object.entries(sides);
      if (round % 2 === 0) turns.reverse(); // neither is always the first
      pairs[one.name].push(Object.fromEntries(turns.map(([side, build]) => [side, measure(build, model, one)])));
    }
    console.log(`round ${round} of ${rounds}`);
  }
  return pairs;
}

/** Medians of both sides, and of the ratios of each pair. */
function compare(pairs) {
  const ratios = pairs.map(({ tree, base }) => tree / base);
  return {
    tokensPerSecond: { tree: median(pairs.map(({ tree }) => tree)), base: median(pairs.map(({ base }) => base)) },
    ratio: median(ratios),
    minRatio: Math.min(...ratios),
    maxRatio: Math.max(...ratios),
  };
}

function line(name, { tokensPerSecond: { tree, base }, ratio, minRatio, maxRatio }) {
  const speeds = [tree, base].map((speed) => speed.toFixed(1).padStart(10));
  const ratios = [ratio, minRatio, maxRatio].map((value) => value.toFixed(4).padStart(8));
  return `${name.padEnd(36)}${[...speeds, ...ratios].join("")}   ${ratio >= BAR ? "meets" : "MISSES"} >= ${BAR}`;
}

function treeAndCommit(revision) {
  const base = commitOf(revision);
  return { sides: { tree: { build: ROOT }, base: { build: buildOf(base) } }, tree: describeTree(), base };
}

/** Both of the working tree: what finds the addon takes that of prebuilds/ where it is told to. */
function prebuiltAndLocal() {
  const prebuilt = { build: ROOT, env: { PREBUILDS_ONLY: "1" } };
  return { sides: { tree: prebuilt, base: { build: ROOT } }, tree: `prebuilds/ of ${describeTree()}`, base: "its build/" };
}

const names = chooseCases(
  CASES.map(({ name }) => name),
  options.only,
);
const chosen = CASES.filter(({ name }) => names.includes(name));
const [revision] = positionals;
const { sides, tree, base } = options.prebuilt ? prebuiltAndLocal() : treeAndCommit(revision);
const pairs = await takeTurns(chosen, sides);
const results = Object.fromEntries(chosen.map(({ name }) => [name, compare(pairs[name])]));
console.log(`\ntree: ${tree}\nbase: ${base}\n`);
console.log(`${"tokens/s, medians".padEnd(36)}      tree      base   ratio     min     max`);
for (const [name, figures] of Object.entries(results)) console.log(line(name, figures));
const about = { command: `npm run bench:compare -- ${revision ?? "--prebuilt"}`, threads: THREADS, rounds, tree, base };
writeResults(options.prebuilt ? "prebuilt" : "compare", options, about, results);
