// Memory of a process: npm run bench:memory [-- --only cycles] [-- --commit]
// Writes .cache/results/memory.json, with --commit bench/results/memory.json; see bench/README.md for the method.
import { fork } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chooseCases, OPTIONS } from "../support/cases.mjs";
import { makeModel } from "../support/make-model.mjs";
import { printCase, writeResults } from "../support/report.mjs";

const { values: options } = parseArgs({ options: OPTIONS });
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const MB = 1e6;

/** Beside 1.15 of the file and the pages in use; and for the tokenizer of a vocabulary of 150,000 entries, in proportion. */
const OWN_MB = 150;
const vocabularyMB = (entries) => (OWN_MB * entries) / 150_000;

/** What resident.mjs says, in a process of its own. */
async function inProcess(...args) {
  const child = fork(at("resident.mjs"), args, { execArgv: ["--expose-gc"] });
  const [message] = await once(child, "message");
  await once(child, "exit");
  return message;
}

async function model(name, type, vocabulary) {
  const path = await makeModel(name, type);
  const file = statSync(path).size / MB;
  const { opened, streamed, peak, pagesMB } = await inProcess("model", path);
  const own = (resident, pages) => resident - 1.15 * file - pages - vocabularyMB(vocabulary);
  return {
    figures: {
      fileMB: file,
      openedMB: opened,
      afterStreamsMB: streamed,
      peakMB: peak,
      pagesMB,
      "beside.opened": own(opened, 0),
      "beside.afterStreams": own(streamed, pagesMB),
      "beside.peak": own(peak, pagesMB),
    },
    bars: { "beside.opened": ["<=", OWN_MB], "beside.afterStreams": ["<=", OWN_MB], "beside.peak": ["<=", OWN_MB] },
  };
}

async function cycles() {
  const { settled, last, count } = await inProcess("cycles", "tales");
  const driftMB = last.resident - settled.resident;
  const figures = { cycles: count, firstMB: settled.resident, lastMB: last.resident, driftMB, ofWhichHeapMB: last.heap - settled.heap };
  return { figures, bars: { driftMB: ["<=", 16] } };
}

const CASES = {
  "llama-3.2-1b-shape q8_0: opened, and after 32 streams": () => model("llama-3.2-1b", "q8_0", 128_256),
  "tales opened and closed": cycles,
};

const cases = {};
for (const name of chooseCases(Object.keys(CASES), options.only)) {
  const { figures, bars } = await CASES[name]();
  printCase(name, figures, bars);
  cases[name] = figures;
}
writeResults("memory", options, { command: "npm run bench:memory", threads: 2 }, cases);
