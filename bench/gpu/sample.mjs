// The op `sample` on the first GPU: node bench/gpu/sample.mjs [--vocab 128256]. Needs `npm run build:cuda` before.
//
// One row: 64 of them, a launch each; what one takes, launch included. 64 rows and 256 rows: what they take together, 64 a launch.
// Logits are normal with deviation 3, or 0.01 (flat): nearly all tokens then come through a filter.
import { createRequire } from "node:module";
import { parseArgs } from "node:util";
import { PLAIN_SLOT, ROW_OUTPUT } from "../../dist/native/addon.js";

const addon = createRequire(import.meta.url)("../../build/Release/test/kvasir_test.node");
const { values: options } = parseArgs({ options: { vocab: { type: "string", default: "128256" } } });
const vocab = Number(options.vocab);

const SLOTS = {
  greedy: { temperature: 0 },
  "greedy, 20 logprobs": { temperature: 0, logprobs: 20 },
  "greedy, penalties": {
    temperature: 0,
    repetitionPenalty: 1.1,
    tokens: Int32Array.from({ length: 1000 }, (_, i) => i),
    promptLength: 1000,
  },
  temperature: {},
  "topK 40": { topK: 40 },
  "topP 0.95": { topP: 0.95 },
  "topK 40, topP 0.95, minP 0.05": { topK: 40, topP: 0.95, minP: 0.05 },
  "typicalP 0.95": { typicalP: 0.95 },
  everything: { repetitionPenalty: 1.1, topK: 1000, typicalP: 0.95, topP: 0.9, minP: 0.01, logprobs: 20 },
};

const ascending = (count) => Int32Array.from({ length: count }, (_, i) => i);
const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

/** Microseconds of a step's rows, `piece` of them a launch; the fastest of 20. */
function time(config, logits, rows, piece) {
  const slots = Array.from({ length: rows }, (_, i) => ({ ...PLAIN_SLOT, temperature: 1, seed: BigInt(i), ...config }));
  const [qIndptr, outIndptr] = [ascending(rows + 1), ascending(rows + 1)];
  const kinds = new Int32Array(rows).fill(ROW_OUTPUT.sample);
  const step = { qIndptr, outIndptr, kinds, slots: ascending(rows), logits: logits.subarray(0, rows * vocab), piece };
  return addon.op("sample", { isa: "portable", threads: 1, repeat: 20, device: "cuda" }, { vocab, slots, steps: [step] }).seconds * 1e6;
}

for (const deviation of [3, 0.01]) {
  const logits = Float32Array.from({ length: 256 * vocab }, () => deviation * normal());
  console.log(`V=${vocab}, deviation ${deviation}`.padEnd(40), "   one row", "   64 rows", "  256 rows");
  for (const [name, config] of Object.entries(SLOTS)) {
    const cells = [time(config, logits, 64, 1) / 64, time(config, logits, 64, 64), time(config, logits, 256, 64)];
    console.log(name.padEnd(40), ...cells.map((us) => `${us.toFixed(1)} us`.padStart(10)));
  }
}
