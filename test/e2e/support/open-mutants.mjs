import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * Opens every model of a directory, one after the other, and generates 4 tokens, while a request runs on a healthy model:
 * `node open-mutants.mjs DIST HEALTHY DIRECTORY`. A line of JSON each: what became of it, how long it took, the longest turn of the event
 * loop, memory beyond its files' bytes, and whether the other request got what it gets alone. A process of its own, so that a crash is
 * seen and ends no test run.
 */
const [dist, healthy, directory] = process.argv.slice(2);
const { Engine, KvasirError } = await import(pathToFileURL(join(dist, "index.js")));
const { threadClock, threadPath } = await import(pathToFileURL(join(dist, "workers", "thread-clock.js")));

const other = await Engine.open(healthy, { threads: 1 });
const request = async () => {
  const { tokens, logprobs } = await other.generate([1, 2, 3], { maxTokens: 24, ignoreEos: true, seed: 1, temperature: 1, logprobs: 1 });
  return JSON.stringify([tokens, logprobs]);
};
const alone = await request();

for (const name of readdirSync(directory)) {
  const path = join(directory, name);
  const bytes = bytesOf(path);
  const meter = startMeter();
  const begin = performance.now();
  const [result, meanwhile] = await Promise.all([tryModel(path), request()]);
  const milliseconds = performance.now() - begin;
  const { turn, memory } = meter();
  console.log(JSON.stringify({ name, ...result, milliseconds, turn, memory: memory - bytes, unaffected: meanwhile === alone }));
}
await other.close();

/** Every few milliseconds the time that this thread took since, which a busy machine doesn't stretch, and the process's memory. */
function startMeter() {
  const clock = threadClock(threadPath());
  const before = process.memoryUsage.rss();
  let [last, turn, memory] = [clock(), 0, 0];
  const look = () => {
    const now = clock();
    turn = Math.max(turn, now - last);
    memory = Math.max(memory, process.memoryUsage.rss() - before);
    last = now;
  };
  const timer = setInterval(look, 2);
  return () => {
    look();
    clearInterval(timer);
    return { turn, memory };
  };
}

/** Of a file, or of all in a directory. */
function bytesOf(path) {
  const found = statSync(path);
  return found.isDirectory() ? readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0) : found.size;
}

/** A directory of parts is opened by its first file, one with a config.json as it is. */
async function tryModel(path) {
  let engine;
  try {
    engine = await Engine.open(path.endsWith(".parts") ? join(path, readdirSync(path).sort()[0]) : path, {
      threads: 1,
      onWarning: () => {},
    });
    const prompt = existsSync(join(path, "tokenizer.json")) ? { messages: [{ role: "user", content: "Hello" }] } : [0];
    const { tokens, finishReason } = await engine.generate(prompt, { maxTokens: 4, ignoreEos: true, seed: 1 });
    return { tokens: tokens.length, finishReason, maxContext: engine.stats().maxContext };
  } catch (error) {
    return error instanceof KvasirError ? { code: error.code, message: error.message } : { crash: String(error?.stack ?? error) };
  } finally {
    await engine?.close();
  }
}
