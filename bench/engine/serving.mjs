// Many at once in one process: what a server built on kvasir sees. Each case prints nothing and returns its figures.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { median } from "../../dist/cli/bench.js";
import { Engine } from "../../dist/index.js";

const prompt = (length, seed) => Int32Array.from({ length }, (_, t) => 10 + ((t * 7919 + seed * 104729) % 8000));
const params = (maxTokens) => ({ maxTokens, temperature: 0, ignoreEos: true });

/** Fairness: tokens of the long prompt, and of a step. */
const DEPTH = 8192;
const BUDGET = 512;

/** Tokens per second of `count` streams of `tokens` tokens, from the first's start to the last's end, and the event loop's delay. */
async function streams(engine, count, tokens, seed) {
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const start = performance.now();
  const read = async (i) => {
    for await (const _ of engine.stream(prompt(16, seed * 1000 + i), params(tokens)));
  };
  await Promise.all(Array.from({ length: count }, (_, i) => read(i)));
  const seconds = (performance.now() - start) / 1000;
  delay.disable();
  return { tokensPerSecond: (count * tokens) / seconds, delayP99Ms: delay.percentile(99) / 1e6 };
}

/** 32 streams against one. */
export async function batching(model) {
  const engine = await Engine.open(model, { threads: 2, maxContext: 1024 });
  const one = [];
  const many = [];
  await streams(engine, 32, 32, 0); // warms up
  for (let run = 1; run <= 5; run++) {
    one.push(await streams(engine, 1, 128, run));
    many.push(await streams(engine, 32, 128, run + 100));
  }
  await engine.close();
  const speed = (runs) => median(runs.map(({ tokensPerSecond }) => tokensPerSecond));
  return {
    one: speed(one),
    streams32: speed(many),
    ratio: speed(many) / speed(one),
    eventLoopDelayP99Ms: median(many.map(({ delayP99Ms }) => delayP99Ms)),
  };
}

/** The longest gap between tokens of 16 streams while an 8k prompt is computed, against one full step at that depth. */
export async function fairness(model) {
  const engine = await Engine.open(model, { threads: 2, maxContext: 16384, maxBatchTokens: BUDGET });
  const long = prompt(DEPTH, 1);
  const streaming = { on: true };
  const gaps = Array.from({ length: 16 }, (_, i) => tokenTimes(engine, prompt(16, 500 + i), streaming));
  await new Promise((resolve) => setTimeout(resolve, 1000)); // all streams decode
  const arrived = performance.now();
  const { timings } = await engine.generate(long, params(1));
  const done = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 200)); // the tokens after the last gap
  streaming.on = false;
  const longestGapMs = Math.max(...(await Promise.all(gaps)).map((times) => longestGap(times, arrived, done)));
  const fullStepMs = await timeFullStep(engine, long);
  await engine.close();
  return { longestGapMs, fullStepMs, ratio: longestGapMs / fullStepMs, promptMs: timings.timeToFirstTokenMs };
}

/** When each token of a stream came, as long as `streaming` is on. */
async function tokenTimes(engine, input, streaming) {
  const times = [];
  for await (const _ of engine.stream(input, params(8000))) {
    times.push(performance.now());
    if (!streaming.on) break;
  }
  return times;
}

/** Of the gaps that overlap [from, to]. */
function longestGap(times, from, to) {
  const gaps = times.slice(1).map((time, i) => (times[i] < to && time > from ? time - times[i] : 0));
  if (times.length < 2 || times.at(-1) < to) throw new Error("a stream ended before the long prompt was done");
  return Math.max(...gaps);
}

/** The long prompt with other last tokens, all before them cached: what runs is one step. */
async function timeFullStep(engine, long) {
  const times = [];
  for (let run = 0; run < 5; run++) {
    const again = Int32Array.from(long);
    again.set(prompt(BUDGET, 900 + run), DEPTH - BUDGET);
    const { timings, usage } = await engine.generate(again, params(1));
    if (usage.cachedTokens !== DEPTH - BUDGET) throw new Error(`${usage.cachedTokens} tokens were cached, not ${DEPTH - BUDGET}`);
    times.push(timings.timeToFirstTokenMs - timings.queueMs);
  }
  return median(times);
}

/** A prompt of 1,024 tokens, then again: time to first token. */
export async function prefix(model) {
  const engine = await Engine.open(model, { threads: 2, maxContext: 2048 });
  await engine.generate(prompt(1024, 99), params(1)); // warms up
  const ratios = [];
  const first = [];
  for (let run = 0; run < 5; run++) {
    const cold = await engine.generate(prompt(1024, run), params(1));
    const warm = await engine.generate(prompt(1024, run), params(1));
    first.push(cold.timings.timeToFirstTokenMs);
    ratios.push(warm.timings.timeToFirstTokenMs / cold.timings.timeToFirstTokenMs);
  }
  await engine.close();
  return { firstTokenMs: median(first), ratio: median(ratios) };
}
