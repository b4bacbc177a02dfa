// The table of speeds, in Markdown.
import { PEERS } from "../peers/peers.mjs";
import { threeDigits } from "../support/report.mjs";
import { CELLS, LEFT_OUT } from "./cells.mjs";

const HEAD = ["shape", "weights", "work", "tokens/s", "GB/s", "Gop/s", "of the ceiling", ...Object.keys(PEERS), "to the best of these"];
const ALIGNMENTS = HEAD.map((_, i) => (i < 3 ? "---" : "---:"));

/** A row for each cell that `cases` has figures of; below it where they come from, and which cells are missing, and why. */
export function table(cases) {
  const measured = CELLS.filter(({ name }) => name in cases);
  const rows = measured.map((cell) => rowOf(cell, cases[cell.name].figures));
  const lines = [HEAD, ALIGNMENTS, ...rows].map((cells) => `| ${cells.join(" | ")} |`);
  const origins = new Set(measured.map(({ name }) => originOf(cases[name].measured)));
  const notes = [
    ...origins,
    ...rangesOf(measured.map(({ name }) => cases[name].measured.ceilings)),
    ...LEFT_OUT.map(reasonOf),
    ...missing(CELLS.length - measured.length),
  ];
  return [...lines, "", ...notes.map((note) => `- ${note}`)].join("\n");
}

function rowOf(cell, { tokensPerSecond, GBs, Gops, ofCeiling }) {
  const speeds = ["kvasir", ...Object.keys(PEERS)].map((name) => show(tokensPerSecond[name]));
  const bound = [show(GBs), show(Gops), `${Math.round(100 * ofCeiling)} %`];
  return [cell.model, cell.type, workOf(cell), speeds[0], ...bound, ...speeds.slice(1), show(tokensPerSecond.ratio)];
}

function workOf({ kind, batch, context, prompt }) {
  if (kind === "prefill") return `prompt of ${prompt}`;
  return `${batch} ${batch === 1 ? "stream" : "streams"} after ${context}`;
}

function originOf({ processor, threads, date, commit }) {
  return `${processor}, ${threads} threads, ${date}, commit ${commit}`;
}

/** The ceilings around the cells, from the least to the most. */
function rangesOf(ceilings) {
  const ranges = Object.keys(ceilings[0] ?? {})
    .map((name) => ({ name, values: ceilings.map((each) => each[name]) }))
    .filter(({ values }) => Math.max(...values) > 0)
    .map(({ name, values }) => `${name} ${Math.min(...values)} to ${Math.max(...values)}`);
  return ranges.length === 0 ? [] : [`ceilings, measured before and after each group of cells: ${ranges.join(", ")}`];
}

function reasonOf({ engine, reason, ...fields }) {
  const which = Object.entries(fields).map(([field, values]) => `${field} ${[values].flat().join(" or ")}`);
  return `left out: ${which.join(", ")}${engine === undefined ? "" : ` by ${engine}`}: ${reason}`;
}

function missing(count) {
  return count === 0 ? [] : [`not measured: ${count} of ${CELLS.length} cells`];
}

function show(value) {
  return typeof value === "number" ? threeDigits(value) : (value ?? "");
}
