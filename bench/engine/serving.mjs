// Many at once in one process: what a server built on kvasir sees. Each case prints nothing and returns its figures.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { median } from "../../dist/cli/bench.js";
import { Engine } from "../../dist/index.js";

const prompt = (length, seed) => Int32Array.from({ length }, (_, t) => 10 + ((t * 7919 + seed * 104729) % 8000));
const params = (maxTokens) => ({ maxTokens, temperature: 0, ignoreEos: true });

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
  const engine = await Engine.open(model, { threads: 2, maxContext: 16384 });
  const long = prompt(8192, 1);
  let arrived = false;
  let done = false;
  let longestGapMs = 0;
  const read = async (i) => {
    let last = performance.now();
    for await (const _ of engine.stream(prompt(16, 500 + i), params(4000))) {
      const now = performance.now();
      if (arrived && !done) longestGapMs = Math.max(longestGapMs, now - last);
      last = now;
      if (done) break;
    }
  };
  const readers = Array.from({ length: 16 }, (_, i) => read(i));
  await new Promise((resolve) => setTimeout(resolve, 2000));
  arrived = true;
  const { timings } = await engine.generate(long, params(1));
  done = true;
  await Promise.all(readers);
  // All but the last 512 tokens are cached now: what runs is one full step at that depth.
  const step = [];
  for (let run = 0; run < 3; run++) {
    const again = Int32Array.from(long);
    again.set(prompt(512, 900 + run), 8192 - 512);
    const { timings: t, usage } = await engine.generate(again, params(1));
    if (usage.cachedTokens === 8192 - 512) step.push(t.timeToFirstTokenMs - t.queueMs);
  }
  await engine.close();
  const fullStepMs = median(step);
  return { longestGapMs, fullStepMs, ratio: longestGapMs / fullStepMs, promptMs: timings.timeToFirstTokenMs };
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
  return { firstMs: median(first), ratio: median(ratios) };
}
