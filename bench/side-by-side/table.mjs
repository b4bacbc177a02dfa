// The side-by-side figures as a table of Markdown.
import { PEERS } from "../peers/peers.mjs";
import { threeDigits } from "../support/report.mjs";

/** What the rows say, and the digits that mean something. */
const ROWS = {
  installedMB: "installed, MB",
  installSeconds: "`npm install` from npm's cache, s",
  firstTokenMs: "process start to first token, ms",
  peakMB: "peak resident memory, 1 stream, MB",
  tokensPerSecond: "1 stream, tokens/s",
  tokensPerSecondOf32: "32 streams, tokens/s",
};

/** A column for each engine, those that aren't installed among them. */
export function table(figures) {
  const names = ["kvasir", ...Object.keys(PEERS)];
  const head = names.map((name) => (figures[name] === undefined ? `${name}: not installed` : `${name} ${figures[name].version}`));
  const rows = Object.entries(ROWS).map(([field, title]) => [title, ...names.map((name) => show(figures[name]?.[field]))]);
  return [["", ...head], ["---", ...names.map(() => "---:")], ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

/** Nothing of an engine that was not measured. */
function show(value) {
  return value === undefined ? "" : threeDigits(value);
}
