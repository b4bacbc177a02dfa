// One case of one engine in a process of its own, each engine in the same protocol:
//   node case.mjs ENGINE.mjs MODEL.gguf MODE first                  from the start of this process to a first token
//   node case.mjs ENGINE.mjs MODEL.gguf MODE decode PROMPT TOKENS   one stream
//   node case.mjs ENGINE.mjs MODEL.gguf MODE streams COUNT TOKENS   many at once, prompts included
// MODE awake keeps the event loop awake (a 1 ms monitor and a 5 ms ticker), plain doesn't. ENGINE.mjs exports
// open(model, { threads, streams, context }), which gives close() and generate(prompt, tokens, onToken), greedy and past ends, where onToken is
// called first with the first token. The last line is JSON: the figures of each run.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { pathToFileURL } from "node:url";

const THREADS = 2;
const CONTEXT = 1024; // tokens of a stream; of many, what they take
const PROMPT = 16; // tokens before each of many streams, and of what warms up
const MEASURED_MS = 1500;

/** Each is one token, with the space before it, of the models that support/make-model.mjs makes. */
const WORDS = "the and was his her said little big day tree dog cat boy girl saw happy play home mom water".split(" ");

const [script, model, mode, kind, ...sizes] = process.argv.slice(2);
const [first, tokens] = sizes.map(Number);
let ticker;
if (mode === "awake") {
  monitorEventLoopDelay({ resolution: 1 }).enable();
  ticker = setInterval(() => {}, 5);
}

/** So many tokens, which differ from the first on from those of other seeds, so that nothing of one is cached. */
function prompt(length, seed) {
  const digits = Array.from({ length }, (_, i) => (i < 4 ? Math.floor(seed / WORDS.length ** i) : i * 7 + seed));
  return digits.map((digit) => ` ${WORDS[digit % WORDS.length]}`).join("");
}

/** The process's clock: the engine is imported late, as its cost belongs to the figure. */
async function firstToken(engine) {
  const readyMs = performance.now();
  let firstTokenMs;
  await engine.generate("Once upon a time", 1, () => {
    firstTokenMs ??= performance.now();
  });
  return [{ readyMs, firstTokenMs }];
}

/** The prompt's tokens per second until the first token, and tokens per second after it. */
async function decode(engine, seed) {
  const start = performance.now();
  let begin;
  await engine.generate(prompt(first, seed), tokens + 1, () => {
    begin ??= performance.now();
  });
  return {
    promptTokensPerSecond: (first * 1000) / (begin - start),
    tokensPerSecond: (tokens * 1000) / (performance.now() - begin),
  };
}

/** Tokens per second of all streams together, from the first's start to the last's end. */
async function streams(engine, seed) {
  const start = performance.now();
  await Promise.all(Array.from({ length: first }, (_, i) => engine.generate(prompt(PROMPT, seed * first + i), tokens, () => {})));
  return { tokensPerSecond: (first * tokens * 1000) / (performance.now() - start) };
}

/** What was measured within {@link MEASURED_MS}, at least once, after a few tokens that warm up. */
async function repeat(engine, run) {
  await engine.generate(prompt(PROMPT, 0), 8, () => {});
  const runs = [];
  const start = performance.now();
  while (runs.length === 0 || performance.now() - start < MEASURED_MS) runs.push(await run(engine, runs.length + 1));
  return runs;
}

const { open } = await import(pathToFileURL(script).href);
const many = kind === "streams" && first > 1;
const engine = await open(model, { threads: THREADS, streams: many ? first : 1, context: many ? 2 * (PROMPT + tokens) : CONTEXT });
const runs = await (kind === "first" ? firstToken(engine) : repeat(engine, { decode, streams }[kind]));
const peakMB = (process.resourceUsage().maxRSS * 1024) / 1e6;
clearInterval(ticker);
await engine.close();
console.log(JSON.stringify(runs.map((run) => ({ ...run, peakMB }))));
process.exit(); // some engines keep a process alive
