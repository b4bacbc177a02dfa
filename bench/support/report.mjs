// Figures of benchmarks: on the terminal, and in a file with the machine that they were measured on.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** `{ a: { b: 1 } }` as `[["a.b", 1]]`. */
export function flatten(figures, prefix = "") {
  return Object.entries(figures).flatMap(([name, value]) =>
    typeof value === "object" ? flatten(value, `${prefix}${name}.`) : [[prefix + name, value]],
  );
}

/** Prints a case as a table; `bars` are those of some of its figures: `{ ratio: [">=", 1] }`. A figure that could not be had has missed its bar. */
export function printCase(name, figures, bars) {
  console.log(`\n${name}`);
  const rows = flatten(figures);
  for (const [figure, value] of rows) console.log(`  ${figure.padEnd(28)} ${format(value).padStart(10)}${verdict(value, bars[figure])}`);
  for (const figure of Object.keys(bars).filter((bar) => !rows.some(([row]) => row === bar)))
    console.log(`  ${figure} could not be measured`);
}

function verdict(value, bar) {
  if (bar === undefined) return "";
  const [relation, limit] = bar;
  const met = relation === ">=" ? value >= limit : value <= limit;
  return `   ${met ? "meets" : "MISSES"} ${relation} ${limit}`;
}

const format = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value));

/**
 * Writes the cases with machine and date beside each, so that one that is measured again keeps the others: to .cache/results/NAME.json, with
 * the option `commit` to bench/results/NAME.json, which git keeps. `about` is the command and what was measured with it.
 */
export function writeResults(name, { commit }, about, cases) {
  const measured = { ...machine(), ...about };
  const fresh = Object.entries(cases).map(([name, figures]) => [name, { figures, measured }]);
  const round = (_, value) => (typeof value === "number" ? Number(value.toPrecision(5)) : value);
  writeJson(resultsPath(name, commit), { cases: { ...readResults(name, commit), ...Object.fromEntries(fresh) } }, round);
}

/** The cases of such a file, by their names; none where there is no file. */
export function readResults(name, committed) {
  const path = resultsPath(name, committed);
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")).cases : {};
}

/** Where the results of a benchmark lie: fresh ones, or those that git keeps. */
export function resultsPath(name, committed) {
  return fileURLToPath(new URL(`${committed ? "../results" : "../../.cache/results"}/${name}.json`, import.meta.url));
}

/** Writes figures, each as `replacer` of JSON.stringify has it. */
export function writeJson(path, figures, replacer) {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${JSON.stringify(figures, replacer, 2)}\n`);
  console.log(`\n${relative(process.cwd(), path)}`);
}

/** A figure of a table or chart for readers. */
export function threeDigits(value) {
  return Number(value.toPrecision(3)).toLocaleString("en-US");
}

/** What was measured: GITHUB_SHA, which says it where sources were copied without their history, or the commit that is checked out. */
function commit() {
  const head = () => spawnSync("git", ["rev-parse", "HEAD"], { cwd: import.meta.dirname, encoding: "utf8" }).stdout;
  return (process.env.GITHUB_SHA ?? head() ?? "").slice(0, 12) || undefined;
}

/** The machine that figures were measured on, what was measured, and when. */
export function machine() {
  const flags = /^flags.*$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[0] ?? "";
  return {
    processor: cpus()[0].model,
    flags: (flags.match(/\b(avx2|avx512f|avx512_vnni|avx512_bf16|amx_tile)\b/g) ?? []).join(" "),
    cores: cpus().length,
    node: process.version,
    commit: commit(),
    date: new Date().toISOString().slice(0, 10),
  };
}
