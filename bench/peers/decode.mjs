// node-llama-cpp, driven as its documentation says: node decode.mjs MODEL.gguf PROMPT TOKENS RUNS MODE
// MODE timer keeps the event loop awake (a 1 ms monitor and a 5 ms ticker), plain doesn't; which is faster depends on the machine.
// Prints one JSON line: of each run the prompt's tokens per second until the first token, and tokens per second after it.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { getLlama } from "node-llama-cpp";

const [path, prompt, tokens, runs, mode] = process.argv.slice(2);
let ticker;
if (mode === "timer") {
  monitorEventLoopDelay({ resolution: 1 }).enable();
  ticker = setInterval(() => {}, 5);
}
const llama = await getLlama({ gpu: false, maxThreads: 2, build: "never" });
const model = await llama.loadModel({ modelPath: path });
const context = await model.createContext({ contextSize: 1024 });
const sequence = context.getSequence();
const results = [];
for (let run = 0; run <= Number(runs); run++) {
  await sequence.clearHistory();
  const ids = Array.from({ length: Number(prompt) }, (_, t) => 10 + ((t * 7919 + run * 31) % 8000));
  const start = performance.now();
  let first = 0;
  let count = 0;
  for await (const _ of sequence.evaluate(ids, { temperature: 0, yieldEogToken: true })) {
    if (count === 0) first = performance.now();
    count += 1;
    if (count > Number(tokens)) break;
  }
  const end = performance.now();
  const promptTokensPerSecond = (Number(prompt) * 1000) / (first - start);
  if (run > 0) results.push({ promptTokensPerSecond, tokensPerSecond: ((count - 1) * 1000) / (end - first) }); // the first warms up
}
console.log(JSON.stringify(results));
clearInterval(ticker);
await llama.dispose();
process.exit();
