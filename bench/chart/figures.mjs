// Which results the chart shows.
import { existsSync, readFileSync } from "node:fs";
import { PEERS } from "../peers/peers.mjs";
import { resultsPath } from "../support/report.mjs";
import { chart } from "./svg.mjs";

const ENGINES = ["kvasir", ...Object.keys(PEERS)];

/** Of bench:cpu: the case, and where its figures lie. */
const MEASURED_TOGETHER = [
  { title: "decode, 135M q8_0, tokens/s", name: "decode smollm2-135m q8_0", path: ["tokensPerSecond"] },
  { title: "decode, 1B q8_0, tokens/s", name: "decode llama-3.2-1b q8_0", path: ["tokensPerSecond"] },
  { title: "prompt of 512 tokens, 135M q8_0, tokens/s", name: "prefill smollm2-135m q8_0", path: ["prompt512"] },
  { title: "process start to first token, 135M q8_0, ms (less is better)", name: "cold start smollm2-135m q8_0", path: ["firstTokenMs"] },
];

/** Of bench:side-by-side: what all engines have. */
const SIDE_BY_SIDE = [
  { title: "32 streams, 135M q8_0, tokens/s", field: "tokensPerSecondOf32" },
  { title: "peak resident memory, 135M q8_0, MB (less is better)", field: "peakMB" },
  { title: "installed, MB (less is better)", field: "installedMB" },
  { title: "npm install from npm's cache, s (less is better)", field: "installSeconds" },
];

/** The chart of what git keeps in bench/results/; engines that weren't measured have no bar. */
export function drawResults() {
  const [cpu, sideBySide] = ["cpu", "side-by-side"].map(casesOf);
  const together = MEASURED_TOGETHER.map(({ title, name, path }) => {
    const figures = path.reduce((value, key) => value?.[key], cpu[name]?.figures);
    return { title, bars: barsOf((engine) => figures?.[engine]) };
  });
  const beside = SIDE_BY_SIDE.map(({ title, field }) => ({ title, bars: barsOf((engine) => sideBySide[engine]?.figures[field]) }));
  return chart([...together, ...beside].filter(({ bars }) => bars.length > 0));
}

function casesOf(name) {
  const path = resultsPath(name, true);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).cases : {};
}

function barsOf(figureOf) {
  return ENGINES.map((label) => ({ label, value: figureOf(label) })).filter(({ value }) => typeof value === "number");
}
