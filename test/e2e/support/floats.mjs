import { createHash } from "node:crypto";
import { createRequire } from "node:module";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * What engines give in a process whose main thread another addon has made round upward and flush subnormal numbers to 0: `floats.mjs MODEL WHEN`,
 * WHEN being `never`, `first` (before anything is opened) or `between` (opening and running). Prints a line of JSON: each case's results as a hash
 * of their bits, and how the main thread computes in the end.
 */
const [model, when] = process.argv.slice(2);
const root = new URL("../../../", import.meta.url);
const { createEngine } = await import(new URL("dist/engine.js", root));
const { openParts } = await import(new URL("dist/run/parts.js", root));
const addon = createRequire(import.meta.url)(
  join(process.env.KVASIR_PREBUILD ?? fileURLToPath(root), "build/Release/test/kvasir_test.node"),
);

/** However few processors there are. */
const parallelism = () => ({ machine: 256, allowed: 256, cores: 2, quota: undefined });

class Device extends addon.Engine {
  constructor(config) {
    super({ ...config, device: { ...config.device, kind: "device" } });
  }
}

/** Arithmetic of every kind on each instruction set, and the threads that a device adds. */
const CASES = [
  ...addon.isas().flatMap((isa) => ["f32", "bf16", "int8"].map((compute) => ({ model, module: addon, options: { isa, compute } }))),
  { model, module: { ...addon, Engine: Device }, options: {} },
  { model: "tales", module: addon, options: {} },
];

const SAMPLED = { temperature: 0.8, topK: 40, topP: 0.9, minP: 0.01, typicalP: 0.95, seed: 7, logitBias: { 5: -0.1, 9: 0.7, 11: 1 / 3 } };
const PENALTIES = { repetitionPenalty: 1.1, presencePenalty: 0.3, frequencyPenalty: 0.2 };

/** Tokens, log-probabilities, and logits raw and with bias of some requests, as a hash of their bits. */
async function resultsOf(engine) {
  const hash = createHash("sha256");
  const prompt = Int32Array.from({ length: 40 }, (_, i) => 1 + ((i * 37) % 300));
  const logitsProcessor = (logits) => void hash.update(logits);
  for (const params of [{ temperature: 0 }, { ...SAMPLED, ...PENALTIES }, { ...SAMPLED, logitsProcessor }]) {
    const { tokens, logprobs } = await engine.generate(prompt, { maxTokens: 12, ignoreEos: true, logprobs: 3, ...params });
    hash.update(Int32Array.from(tokens));
    hash.update(Float64Array.from(logprobs.flatMap(({ logprob, top }) => [logprob, ...top.map((each) => each.logprob)])));
  }
  const { logprobs, logits } = await engine.score(prompt, { logits: true });
  return hash.update(logprobs).update(logits).digest("hex");
}

const results = {};
if (when === "first") addon.spoilFloats();
const engines = await Promise.all(
  CASES.map(async ({ model, module, options }) =>
    createEngine(await openParts(model, { threads: 2, ...options }, { ...module, parallelism })),
  ),
);
if (when === "between") addon.spoilFloats();
for (const [i, engine] of engines.entries()) {
  results[`${i} ${JSON.stringify(CASES[i].options)}`] = await resultsOf(engine);
  await engine.close();
}
const [one, tiny, least] = Float64Array.of(1, 2 ** -60, Number.MIN_VALUE);
console.log(JSON.stringify({ results, host: { roundsUp: one + tiny > one, keepsSubnormals: least * one > 0 } }));
