// The table of speeds as a chart.
import { CELLS, LONG, matches, SHORT } from "../engine/cells.mjs";
import { PEERS } from "../peers/peers.mjs";
import { readResults } from "../support/report.mjs";
import { chart } from "./svg.mjs";

/** What of the table is drawn: a panel for each shape that has figures of it. */
const WORKS = [
  { title: "one stream, tokens/s", kind: "decode", batch: 1, context: SHORT },
  { title: "prompt of 512 tokens, tokens/s", kind: "prefill", prompt: 512 },
  { title: "32 streams after 128 tokens, tokens/s", kind: "decode", batch: 32, context: SHORT },
  { title: "one stream after 8,192 tokens, tokens/s", kind: "decode", batch: 1, context: LONG },
];

/** The chart of what git keeps of the table in bench/results/. */
export function drawSpeeds() {
  const cases = readResults("cpu", true);
  const models = [...new Set(CELLS.map(({ model }) => model))];
  const panels = models.flatMap((model) =>
    WORKS.map(({ title, ...work }) => ({
      title: `${model}: ${title}`,
      bars: CELLS.filter((cell) => matches(cell, { model, ...work })).flatMap(barsOf(cases)),
    })),
  );
  return chart(panels.filter(({ bars }) => bars.length > 0));
}

/** kvasir's, and that of the fastest peer. */
const barsOf = (cases) => (cell) => {
  const speeds = cases[cell.name]?.figures.tokensPerSecond ?? {};
  const peers = Object.keys(PEERS).map((name) => speeds[name]);
  const bars = [
    { label: `${cell.type} kvasir`, value: speeds.kvasir, own: true },
    { label: `${cell.type} llama.cpp`, value: Math.max(...peers.filter(isNumber)), own: false },
  ];
  return bars.filter(({ value }) => Number.isFinite(value));
};

const isNumber = (value) => typeof value === "number";
