// kvasir in the same protocol as bench/peers/decode.mjs: node decode.mjs MODEL.gguf PROMPT TOKENS RUNS
// Prints one JSON line: of each run the prompt's tokens per second until the first token, and tokens per second after it.
import { Engine } from "../../dist/index.js";

const [path, prompt, tokens, runs] = process.argv.slice(2);
const engine = await Engine.open(path, { threads: 2, maxContext: 1024, prefixCache: false });
const results = [];
for (let run = 0; run <= Number(runs); run++) {
  const ids = Array.from({ length: Number(prompt) }, (_, t) => 10 + ((t * 7919 + run * 31) % 8000));
  const { timings } = await engine.generate(ids, { maxTokens: Number(tokens) + 1, temperature: 0, ignoreEos: true });
  const promptTokensPerSecond = (Number(prompt) * 1000) / timings.timeToFirstTokenMs;
  if (run > 0) results.push({ promptTokensPerSecond, tokensPerSecond: timings.tokensPerSecond }); // the first warms up
}
console.log(JSON.stringify(results));
await engine.close();
