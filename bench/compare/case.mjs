// One case in a process of its own, on any commit's build: node case.mjs DIST/index.js MODEL.gguf decode STREAMS
//                                                            node case.mjs DIST/index.js MODEL.gguf prefill TOKENS
// Prints one JSON line: tokens per second of each run. Only the public API is used, so that old and new commits run it.
import { pathToFileURL } from "node:url";
import { decodeSpeed, params, prompt, repeat } from "../support/streams.mjs";

const PROMPT = 16; // tokens before each stream of a decode
const TOKENS = 64; // of each stream of a decode, after its first

const [index, model, kind, size] = process.argv.slice(2);
const { Engine } = await import(pathToFileURL(index).href);

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
console.log(JSON.stringify(await repeat((seed) => run(engine, Number(size), seed))));
await engine.close();
