// Resident memory of this process, sent to its parent: node --expose-gc resident.mjs model PATH | cycles PATH
import { readFileSync } from "node:fs";
import { Engine } from "../../dist/index.js";
import { prompt } from "../support/streams.mjs";

const STREAMS = 32;
const TOKENS = 128; // of each, after a prompt of 16
const CYCLES = 110;
const SETTLED = 10; // cycles until V8 and the allocator have what they keep
const OPTIONS = { threads: 2, device: "cpu" };

/** MB, after what V8 can give back is given back. */
async function resident() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return process.memoryUsage().rss / 1e6;
}

async function model(path) {
  const engine = await Engine.open(path, { ...OPTIONS, maxContext: 1024 });
  const opened = await resident();
  const streams = Array.from({ length: STREAMS }, (_, i) =>
    engine.generate(prompt(16, i), { maxTokens: TOKENS, ignoreEos: true, seed: i }),
  );
  await Promise.all(streams);
  const streamed = await resident();
  // Pages that have been used hold prefixes now, but for each stream's last one.
  const { pagesCached, groups } = engine.stats();
  const pagesMB = ((pagesCached + STREAMS) * groups[0].pageBytes) / 1e6;
  await engine.close();
  const [, kilobytes] = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8"));
  return { opened, streamed, peak: (kilobytes * 1024) / 1e6, pagesMB };
}

async function cycles(path) {
  const after = [];
  for (let i = 0; i < CYCLES; i++) {
    const engine = await Engine.open(path, OPTIONS);
    await engine.generate("Once upon a time", { maxTokens: 8, seed: i });
    await engine.close();
    after.push({ resident: await resident(), heap: process.memoryUsage().heapTotal / 1e6 });
  }
  return { settled: after[SETTLED - 1], last: after.at(-1), count: CYCLES - SETTLED };
}

const [what, path] = process.argv.slice(2);
process.send(await (what === "model" ? model : cycles)(path), () => process.exit(0));
