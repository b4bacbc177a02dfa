// The engines of bench:cpu, process by process in turns.
import { fileURLToPath } from "node:url";
import { median } from "../../dist/cli/bench.js";
import { isInstalled, PEERS } from "../peers/peers.mjs";
import { runScript } from "../support/process.mjs";

const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const missing = Object.keys(PEERS).filter((name) => !isInstalled(name));

/** What runs: kvasir, and the peers that are installed in each of their modes. */
const ENGINES = {
  kvasir: { script: at("kvasir.mjs"), modes: ["plain"] },
  ...Object.fromEntries(Object.entries(PEERS).filter(([name]) => isInstalled(name))),
};

export function warnOfMissing() {
  if (missing.length > 0) console.warn(`not compared with ${missing.join(" and ")}: not installed (npm ci --prefix bench/peers)`);
}

/** Runs of each engine of which `isAsked` in each mode in turn, so that a drifting machine is fair to all. `kind`: the case, as case.mjs takes it. */
export function takeTurns(model, rounds, kind, isAsked = () => true) {
  const asked = Object.entries(ENGINES).filter(([name]) => isAsked(name));
  const turns = asked.flatMap(([name, { script, modes }]) => modes.map((mode) => ({ name, script, mode, runs: [] })));
  for (let round = 0; round < rounds; round++) {
    for (const { script, mode, runs } of turns) runs.push(...runScript(at("case.mjs"), [script, model, mode, ...kind]));
  }
  return turns;
}

/** Each engine's median of `field` in its better mode, and kvasir's by the best peer's: `best` is Math.max for speeds, Math.min for times. */
export function compare(turns, field, best) {
  const medianOf = ({ runs }) => median(runs.map((run) => run[field]));
  const figureOf = (name) => best(...turns.filter((turn) => turn.name === name).map(medianOf));
  const peers = Object.keys(PEERS).filter((name) => turns.some((turn) => turn.name === name));
  const figures = Object.fromEntries(["kvasir", ...peers].map((name) => [name, figureOf(name)]));
  if (peers.length > 0) figures.ratio = figures.kvasir / best(...peers.map((name) => figures[name]));
  for (const name of missing) figures[name] = "not installed";
  return figures;
}
