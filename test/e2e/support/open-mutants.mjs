import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * Opens every model of a directory, one after the other, and generates 4 tokens, while a request runs on a healthy model:
 * `node open-mutants.mjs INDEX.js HEALTHY DIRECTORY`. A line of JSON each: what became of it, how long it took, and whether the other request
 * got what it gets alone. A process of its own, so that a crash is seen and ends no test run.
 */
const [index, healthy, directory] = process.argv.slice(2);
const { Engine, KvasirError } = await import(pathToFileURL(index));

const other = await Engine.open(healthy, { threads: 1 });
const request = async () => {
  const { tokens, logprobs } = await other.generate([1, 2, 3], { maxTokens: 24, ignoreEos: true, seed: 1, temperature: 1, logprobs: 1 });
  return JSON.stringify([tokens, logprobs]);
};
const alone = await request();

for (const name of readdirSync(directory)) {
  const begin = performance.now();
  const [result, meanwhile] = await Promise.all([tryModel(join(directory, name)), request()]);
  console.log(JSON.stringify({ name, ...result, milliseconds: performance.now() - begin, unaffected: meanwhile === alone }));
}
await other.close();

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
