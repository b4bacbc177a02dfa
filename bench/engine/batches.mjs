// Decode of several streams after contexts that are cached, in this process.
import { median } from "../../dist/cli/bench.js";
import { Engine } from "../../dist/index.js";
import { decodeSpeed, params, prompt, repeat } from "../support/streams.mjs";

const OWN = 16; // tokens behind a context that streams share

/**
 * Tokens per second for each number of streams in `batches`, `tokens` of each stream a run. Contexts are computed once: each stream has its own, or
 * all have one and a few tokens of their own behind it.
 */
export async function batchSpeeds(model, threads, { context, shared, batches, tokens }) {
  const engine = await Engine.open(model, { threads, maxContext: context + 2048 });
  const common = shared ? prompt(context, 0) : [];
  const prompts = Array.from({ length: Math.max(...batches) }, (_, i) =>
    Int32Array.from([...common, ...prompt(shared ? OWN : context, i + 1)]),
  );
  const speeds = [];
  await engine.generate(prompts[0], params(1)); // the others find what they share in the cache
  await decodeSpeed(engine, prompts, 1); // warms up
  for (const batch of batches) speeds.push(median(await repeat(() => decodeSpeed(engine, prompts.slice(0, batch), tokens))));
  await engine.close();
  return speeds;
}
