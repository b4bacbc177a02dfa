// One case in a process of its own, on any commit's build: node case.mjs DIST/index.js MODEL.gguf decode STREAMS
//                                                            node case.mjs DIST/index.js MODEL.gguf prefill TOKENS
// Prints one JSON line: tokens per second of each run. Only the public API is used, so that old and new commits run it.
import { pathToFileURL } from "node:url";

const MEASURED_MS = 1500;
const LEAST_RUNS = 3;
const PROMPT = 16; // tokens before each stream of a decode
const TOKENS = 64; // of each stream of a decode, after its first

const [index, model, kind, size] = process.argv.slice(2);
const { Engine } = await import(pathToFileURL(index).href);

const prompt = (length, seed) => Int32Array.from({ length }, (_, t) => 10 + ((t * 7919 + seed * 104729) % 8000));
const params = (maxTokens) => ({ maxTokens, temperature: 0, ignoreEos: true });

/** All streams together, from the moment when each has its first token until one has its last: every step between is a full batch. */
async function decode(engine, count, seed) {
  const streams = await Promise.all(Array.from({ length: count }, (_, i) => tokenTimes(engine, prompt(PROMPT, seed * 1000 + i))));
  const from = Math.max(...streams.map((times) => times[0]));
  const to = Math.min(...streams.map((times) => times.at(-1)));
  return streams.reduce((sum, times) => sum + rate(times.filter((time) => time >= from && time <= to)), 0);
}

/** When each token of a stream came. */
async function tokenTimes(engine, input) {
  const times = [];
  for await (const { tokens } of engine.stream(input, params(TOKENS + 1))) {
    const now = performance.now();
    for (const _ of tokens) times.push(now);
  }
  return times;
}

const rate = (times) => ((times.length - 1) * 1000) / (times.at(-1) - times[0]);

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
