// Many at once in one process: what a server built on kvasir sees. Each case prints nothing and returns its figures.
import { spawn } from "node:child_process";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { median } from "../../dist/cli/bench.js";
import { Engine } from "../../dist/index.js";
import { params, prompt } from "../support/streams.mjs";

/** Fairness: tokens of the long prompt, and of a step; and a bound that no step reaches. */
const DEPTH = 8192;
const BUDGET = 512;
const UNBOUNDED_MS = 1e6;

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

/**
 * A prompt of 8k tokens beside 16 streams: the longest gap between tokens of any stream, against one full step at that depth; and what
 * bounding a step's time costs the prompt and all tokens together.
 */
export async function fairness(model) {
  const rounds = [];
  for (let round = 0; round < 3; round++) {
    const bounded = await besideStreams(model, {});
    const unbounded = await besideStreams(model, { maxStepMs: UNBOUNDED_MS }, timeFullStep);
    rounds.push({ ...bounded, unbounded, fullStepMs: unbounded.after });
  }
  const of = (figure) => median(rounds.map(figure));
  return {
    longestGapMs: of(({ longestGapMs }) => longestGapMs),
    fullStepMs: of(({ fullStepMs }) => fullStepMs),
    ratio: of(({ longestGapMs, fullStepMs }) => longestGapMs / fullStepMs),
    promptMs: of(({ promptMs }) => promptMs),
    promptRatio: of(({ promptMs, unbounded }) => promptMs / unbounded.promptMs),
    throughputRatio: of(({ tokensPerSecond, unbounded }) => tokensPerSecond / unbounded.tokensPerSecond),
  };
}

/** `then(engine, prompt)` measures what else is of interest, when the streams have ended. */
async function besideStreams(model, options, then) {
  const engine = await Engine.open(model, { threads: 2, maxContext: 16384, maxBatchTokens: BUDGET, ...options });
  const long = prompt(DEPTH, 1);
  const streaming = { on: true };
  const gaps = Array.from({ length: 16 }, (_, i) => tokenTimes(engine, prompt(16, 500 + i), streaming));
  await new Promise((resolve) => setTimeout(resolve, 1000)); // all streams decode
  const arrived = performance.now();
  const { timings } = await engine.generate(long, params(1));
  const done = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 200)); // the tokens after the last gap
  streaming.on = false;
  const times = await Promise.all(gaps);
  const streamed = times.flat().filter((time) => time > arrived && time <= done).length;
  const after = await then?.(engine, long);
  await engine.close();
  return {
    longestGapMs: Math.max(...times.map((stream) => longestGap(stream, arrived, done))),
    after,
    promptMs: timings.timeToFirstTokenMs,
    tokensPerSecond: ((DEPTH + streamed) / (done - arrived)) * 1000,
  };
}

/** One stream, alone and beside a process that keeps a core busy. */
export async function neighbour(model) {
  const engine = await Engine.open(model, { threads: 2, maxContext: 1024 });
  await streams(engine, 1, 128, 0); // warms up
  const rounds = [];
  for (let round = 1; round <= 5; round++) {
    const { tokensPerSecond: alone } = await streams(engine, 1, 128, round);
    const busy = spawn(process.execPath, ["-e", "for (;;);"]);
    await new Promise((resolve) => setTimeout(resolve, 500)); // it has begun
    const { tokensPerSecond: beside } = await streams(engine, 1, 128, round + 100);
    busy.kill("SIGKILL");
    rounds.push({ alone, beside, ratio: beside / alone });
  }
  await engine.close();
  return Object.fromEntries(["alone", "beside", "ratio"].map((figure) => [figure, median(rounds.map((round) => round[figure]))]));
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
