// One case in a process of its own, on any commit's build: node case.mjs DIST/index.js MODEL.gguf decode STREAMS
//                                                            node case.mjs DIST/index.js MODEL.gguf prefill TOKENS
// Prints one JSON line: tokens per second of each run. Only the public API is used, so that old and new commits run it.
import { pathToFileURL } from "node:url";
import { decodeSpeed } from "../support/streams.mjs";

const MEASURED_MS = 1500;
const LEAST_RUNS = 3;
const PROMPT = 16; // tokens before each stream of a decode
const TOKENS = 64; // of each stream of a decode, after its first

const [index, model, kind, size] = process.argv.slice(2);
const { Engine } = await import(pathToFileURL(index).href);

const prompt = (length, seed) => Int32Array.from({ length }, (_, t) => 10 + ((t * 7919 + seed * 104729) % 8000));
const params = (maxTokens) => ({ maxTokens, temperature: 0, ignoreEos: true });

function decode(engine, count, seed) {
  const prompts = Array.from({ length: count }, (_, i) => prompt(PROMPT, seed * 1000 + i));
  return decodeSpeed(engine, prompts, TOKENS);
}

/** Until the first token after the prompt. */
async function prefill(engine, length, seed) {
  const { timings } = await engine.generate(prompt(length, seed), params(1));
  return (length * 1000) / timings.timeToFirstTokenMs;
}

const run = { decode, prefill }[kind];
const engine = await Engine.open(model, { threads: 2, maxContext: 1024, prefixCache: false });
await run(engine, Number(size), 0); // warms up
const speeds = [];
const start = performance.now();
while (speeds.length < LEAST_RUNS || performance.now() - start < MEASURED_MS)
  speeds.push(await run(engine, Number(size), speeds.length + 1));
console.log(JSON.stringify(speeds));
await engine.close();
