// The engine's figures against node-llama-cpp in the same run: npm run bench:cpu [-- --only decode] [-- --rounds 3]
// Writes bench/results/cpu.json; see bench/README.md for the method.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { median } from "../../dist/cli/bench.js";
import { measureCeilings } from "../support/ceilings.mjs";
import { makeModel, SHAPES } from "../support/make-model.mjs";
import { batching, fairness, prefix } from "./serving.mjs";

const { values: options } = parseArgs({ options: { only: { type: "string", default: "" }, rounds: { type: "string", default: "3" } } });
const at = (path) => fileURLToPath(new URL(path, import.meta.url));
const RESULTS = at("../results/cpu.json");
const hasPeer = existsSync(at("../peers/node_modules/node-llama-cpp"));
if (!hasPeer) console.warn("node-llama-cpp is not installed, so there is nothing to compare with: npm ci --prefix bench/peers");

const node = (script, ...args) =>
  JSON.parse(
    execFileSync(process.execPath, [at(script), ...args.map(String)], { encoding: "utf8" })
      .trim()
      .split("\n")
      .at(-1),
  );
const of = (runs, field) => median(runs.map((run) => run[field]));

/** Prompt 128, then 64 tokens: kvasir and the peer's two modes in turn, so that a drifting machine is fair to all. */
function decode(path, bytes, ceilings) {
  const runs = { kvasir: [], timer: [], plain: [] };
  for (let round = 0; round < Number(options.rounds); round++) {
    runs.kvasir.push(...node("decode.mjs", path, 128, 64, 3));
    for (const mode of hasPeer ? ["timer", "plain"] : []) runs[mode].push(...node("../peers/decode.mjs", path, 128, 64, 3, mode));
  }
  const side = (list) => ({
    tokensPerSecond: of(list, "tokensPerSecond"),
    prefillTokensPerSecond: (128 * 1000) / of(list, "firstTokenMs"),
  });
  const kvasir = side(runs.kvasir);
  const result = { kvasir, ofReadBandwidth: (kvasir.tokensPerSecond * bytes) / 1e9 / ceilings.readGBs };
  if (!hasPeer) return result;
  const modes = ["timer", "plain"].map((mode) => ({ mode, ...side(runs[mode]) }));
  const peer = modes.reduce((best, mode) => (mode.tokensPerSecond > best.tokensPerSecond ? mode : best));
  return { ...result, peer, ratio: kvasir.tokensPerSecond / peer.tokensPerSecond };
}

const smol = () => makeModel("smollm2-135m");
const sizeOf = ({ layers, hidden, heads, kvHeads, ffn, vocab }) =>
  ((layers * (2 * hidden * hidden + 2 * hidden * (hidden / heads) * kvHeads + 3 * hidden * ffn) + vocab * hidden) * 34) / 32;
const tales = at("../../../shared/models/tales/tales-q8_0.gguf");
const CASES = {
  "decode smollm2-135m q8_0": async (ceilings) => decode(await smol(), sizeOf(SHAPES["smollm2-135m"]), ceilings),
  "decode llama-3.2-1b q8_0": async (ceilings) => decode(await makeModel("llama-3.2-1b"), sizeOf(SHAPES["llama-3.2-1b"]), ceilings),
  "32 streams tales q8_0": () => batching(existsSync(tales) ? tales : "tales"),
  "32 streams smollm2-135m q8_0": async () => batching(await smol()),
  "fairness smollm2-135m q8_0": async () => fairness(await smol()),
  "prefix cache smollm2-135m q8_0": async () => prefix(await smol()),
};

const ceilings = measureCeilings(2);
const previous = existsSync(RESULTS) ? JSON.parse(readFileSync(RESULTS, "utf8")) : {};
const results = {
  processor: cpus()[0].model,
  flags: /^flags.*$/m
    .exec(readFileSync("/proc/cpuinfo", "utf8"))?.[0]
    .match(/avx2|avx512f|avx512_vnni|amx_tile/g)
    ?.join(" "),
  cores: cpus().length,
  node: process.version,
  date: new Date().toISOString().slice(0, 10),
  command: "npm run bench:cpu",
  ceilings,
  cases: options.only === "" ? {} : (previous.cases ?? {}),
};
for (const [name, run] of Object.entries(CASES).filter(([name]) => name.includes(options.only))) {
  results.cases[name] = await run(ceilings);
  console.log(
    name,
    JSON.stringify(results.cases[name], (_, value) => (typeof value === "number" ? Number(value.toPrecision(4)) : value)),
  );
}
mkdirSync(at("../results"), { recursive: true });
writeFileSync(RESULTS, `${JSON.stringify(results, (_, value) => (typeof value === "number" ? Number(value.toPrecision(5)) : value), 2)}\n`);
