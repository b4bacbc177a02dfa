// node-llama-cpp from the start of this process to a first token: node cold.mjs MODEL.gguf MODE, as bench/engine/cold.mjs
import { monitorEventLoopDelay } from "node:perf_hooks";

const [path, mode] = process.argv.slice(2);
if (mode === "timer") {
  monitorEventLoopDelay({ resolution: 1 }).enable();
  setInterval(() => {}, 5);
}
const { getLlama } = await import("node-llama-cpp");
const llama = await getLlama({ gpu: false, maxThreads: 2, build: "never" });
const model = await llama.loadModel({ modelPath: path });
const context = await model.createContext({ contextSize: 1024 });
const sequence = context.getSequence();
const readyMs = performance.now();
await sequence.evaluate(model.tokenize("Once upon a time"), { temperature: 0, yieldEogToken: true }).next();
console.log(JSON.stringify([{ readyMs, firstTokenMs: performance.now() }]));
process.exit();
