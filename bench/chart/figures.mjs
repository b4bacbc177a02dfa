// Which results the chart shows.
import { PEERS } from "../peers/peers.mjs";
import { readResults } from "../support/report.mjs";
import { chart } from "./svg.mjs";

const ENGINES = ["kvasir", ...Object.keys(PEERS)];

/** Of bench:cpu: the case, and which of its figures. */
const MEASURED_TOGETHER = [
  { title: "decode, 135M q8_0, tokens/s", name: "decode smollm2-135m q8_0 batch 1 context 128", field: "tokensPerSecond" },
  { title: "decode, 1B q8_0, tokens/s", name: "decode llama-3.2-1b q8_0 batch 1 context 128", field: "tokensPerSecond" },
  { title: "prompt of 512 tokens, 135M q8_0, tokens/s", name: "prefill smollm2-135m q8_0 prompt 512", field: "tokensPerSecond" },
  { title: "process start to first token, 135M q8_0, ms (less is better)", name: "cold start smollm2-135m q8_0", field: "firstTokenMs" },
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
  const [cpu, sideBySide] = ["cpu", "side-by-side"].map((name) => readResults(name, true));
  const together = MEASURED_TOGETHER.map(({ title, name, field }) => ({
    title,
    bars: barsOf((engine) => cpu[name]?.figures[field][engine]),
  }));
  const beside = SIDE_BY_SIDE.map(({ title, field }) => ({ title, bars: barsOf((engine) => sideBySide[engine]?.figures[field]) }));
  return chart([...together, ...beside].filter(({ bars }) => bars.length > 0));
}

function barsOf(figureOf) {
  return ENGINES.map((label) => ({ label, value: figureOf(label) })).filter(({ value }) => typeof value === "number");
}
