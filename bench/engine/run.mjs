// The engine's figures, against other engines in the same run: npm run bench:cpu [-- --only decode] [-- --rounds 3] [-- --commit]
// Writes .cache/results/cpu.json, with --commit bench/results/cpu.json; see bench/README.md for the method. With --table nothing is measured, and
// the table of speeds is printed of what such a file has.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chooseCases, OPTIONS } from "../support/cases.mjs";
import { makeModel } from "../support/make-model.mjs";
import { printCase, readResults, writeResults } from "../support/report.mjs";
import { CELLS, isCompared } from "./cells.mjs";
import { batching, fairness, neighbour, prefix } from "./serving.mjs";
import { groupsOf, measureGroup } from "./speeds.mjs";
import { table } from "./table.mjs";
import { compare, takeTurns, warnOfMissing } from "./turns.mjs";

const THREADS = 2; // case.mjs says the same
const { values: options } = parseArgs({
  options: { ...OPTIONS, rounds: { type: "string", default: "3" }, table: { type: "boolean", default: false } },
});
const rounds = Number(options.rounds);

/** From the start of the process to the first token, and how much of it until the model was ready. */
async function coldStart(name) {
  const turns = takeTurns(await makeModel(name), rounds, ["first"]);
  return { readyMs: compare(turns, "readyMs", Math.min), firstTokenMs: compare(turns, "firstTokenMs", Math.min) };
}

const tales = fileURLToPath(new URL("../../../shared/models/tales/tales-q8_0.gguf", import.meta.url));
const SMOL = "smollm2-135m";
const batchingBars = { ratio: [">=", 2.5], eventLoopDelayP99Ms: ["<=", 10] };

/** What is measured beside the cells of the table, and the figures that have a bar. */
const CASES = {
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

/** Of cells. */
const barsOf = (cell) => (cell.kind === "decode" && isCompared(cell) ? { "tokensPerSecond.ratio": [">=", 1] } : {});

async function measure() {
  warnOfMissing();
  const chosen = chooseCases([...CELLS.map(({ name }) => name), ...Object.keys(CASES)], options.only);
  const about = { command: "npm run bench:cpu", threads: THREADS };
  const keep = (name, figures, bars, ceilings) => {
    printCase(name, figures, bars);
    writeResults("cpu", options, { ...about, ...(ceilings && { ceilings }) }, { [name]: figures }); // kept, whatever the next one does
  };
  for (const cells of groupsOf(CELLS.filter(({ name }) => chosen.includes(name)))) {
    const { ceilings, figures } = await measureGroup(cells, THREADS, rounds);
    for (const [i, cell] of cells.entries()) keep(cell.name, figures[i], barsOf(cell), ceilings);
  }
  for (const name of chosen.filter((name) => name in CASES)) keep(name, await CASES[name].run(), CASES[name].bars);
}

if (!options.table) await measure();
console.log(`\n${table(readResults("cpu", options.commit))}`);
