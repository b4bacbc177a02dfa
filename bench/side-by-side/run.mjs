// kvasir's tarball and other engines of npm, each installed into an empty project, side by side: npm run bench:side-by-side [-- --rounds 1]
// [-- --only kvasir] [-- --commit]. Writes .cache/results/side-by-side.json, with --commit bench/results/side-by-side.json; see bench/README.md.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../../dist/cli/bench.js";
import { thePackage } from "../../dist/package/folder.js";
import { PEERS, versionOf } from "../peers/peers.mjs";
import { chooseCases, OPTIONS } from "../support/cases.mjs";
import { makeModel } from "../support/make-model.mjs";
import { runScript } from "../support/process.mjs";
import { writeResults } from "../support/report.mjs";
import { install, packKvasir } from "./install.mjs";
import { table } from "./table.mjs";

const STREAMS = 32;
const TOKENS = { one: 64, many: 32 }; // of each stream
const { values: options } = parseArgs({ options: { ...OPTIONS, rounds: { type: "string", default: "3" } } });
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = at("../../.cache/side-by-side/");

/** What is installed, and where. */
function engines() {
  const own = {
    name: "kvasir",
    version: thePackage().version,
    spec: packKvasir(folder),
    script: at("../engine/kvasir.mjs"),
    modes: ["plain"],
  };
  const peers = Object.entries(PEERS).map(([name, peer]) => ({
    name,
    version: versionOf(name),
    spec: `${name}@${versionOf(name)}`,
    ...peer,
  }));
  return [own, ...peers].map((engine) => ({ ...engine, folder: join(folder, engine.name), rounds: [] }));
}

/** Whether the engine can be installed, which also fills npm's cache for the installs that are measured. */
function canInstall({ name, folder, spec, script }) {
  try {
    install(folder, spec, script);
    return true;
  } catch (error) {
    console.warn(
      `${name} could not be installed: ${
        String(error.stderr ?? error)
          .trim()
          .split("\n")[0]
      }`,
    );
    return false;
  }
}

/** All figures of an engine, once, in the mode that is better at each. */
function measure({ folder, spec, script, modes }, model) {
  const installed = install(folder, spec, script);
  const inModes = (...kind) => modes.map((mode) => runScript(at("../engine/case.mjs"), [join(folder, "engine.mjs"), model, mode, ...kind]));
  const best = (better, modesRuns, field) => better(...modesRuns.map((runs) => median(runs.map((run) => run[field]))));
  const one = inModes("streams", 1, TOKENS.one);
  return {
    ...installed,
    firstTokenMs: best(Math.min, inModes("first"), "firstTokenMs"),
    peakMB: best(Math.min, one, "peakMB"),
    tokensPerSecond: best(Math.max, one, "tokensPerSecond"),
    tokensPerSecondOf32: best(Math.max, inModes("streams", STREAMS, TOKENS.many), "tokensPerSecond"),
  };
}

/** Medians of the rounds, beside the version. */
function summary({ version, rounds }) {
  const fields = Object.keys(rounds[0]);
  return { version, ...Object.fromEntries(fields.map((field) => [field, median(rounds.map((round) => round[field]))])) };
}

const all = engines();
const chosen = chooseCases(
  all.map(({ name }) => name),
  options.only,
);
const model = await makeModel("smollm2-135m");
const present = all.filter((engine) => chosen.includes(engine.name) && canInstall(engine));
for (let round = 1; round <= Number(options.rounds); round++) {
  for (const engine of present) {
    engine.rounds.push(measure(engine, model));
    console.log(`round ${round} of ${options.rounds}: ${engine.name}`);
  }
}
rmSync(folder, { recursive: true });
const figures = Object.fromEntries(present.map((engine) => [engine.name, summary(engine)]));
console.log(`\n${table(figures)}`);
writeResults(
  "side-by-side",
  options,
  { command: "npm run bench:side-by-side", model: "smollm2-135m q8_0", threads: 2, rounds: Number(options.rounds) },
  figures,
);
