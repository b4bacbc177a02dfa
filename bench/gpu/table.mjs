// Figures of two runs of bench:gpu on one card as a table of Markdown: node bench/gpu/table.mjs BASE.json HEAD.json
import { readFileSync } from "node:fs";
import { flatten } from "../support/report.mjs";

/** Figures that are better when they are smaller. */
const TIMES = ["firstTokenSeconds"];
/** Beyond this a difference is marked; runs of one commit differ by less. Chosen. */
const NOISE = 0.03;

const [base, head] = process.argv.slice(2).map((path) => JSON.parse(readFileSync(path, "utf8")).cases);
if (head === undefined) throw new Error("the files are missing; expected BASE.json HEAD.json");

/** A figure of a case: before, after, and by how much it is better. */
function row(name, figure, before, after) {
  const gain = (TIMES.includes(figure) ? before / after : after / before) - 1;
  const mark = gain < -NOISE ? " :small_red_triangle_down:" : gain > NOISE ? " :white_check_mark:" : "";
  return `| ${name} | ${figure} | ${show(before)} | ${show(after)} | ${(100 * gain).toFixed(1)} %${mark} |`;
}

function show(value) {
  return value === undefined ? "" : Number(value.toPrecision(4)).toLocaleString("en-US");
}

const [anyCase] = Object.values(head);
console.log(`${anyCase?.measured.gpu?.name ?? "no GPU"}: tokens per second, and seconds to the first token, before and after\n`);
console.log("| case | figure | base | this | better by |\n|---|---|---:|---:|---:|");
for (const [name, { figures }] of Object.entries(head)) {
  const before = Object.fromEntries(flatten(base[name]?.figures ?? {}));
  for (const [figure, after] of flatten(figures)) {
    console.log(before[figure] === undefined ? `| ${name} | ${figure} | | ${show(after)} | |` : row(name, figure, before[figure], after));
  }
}
