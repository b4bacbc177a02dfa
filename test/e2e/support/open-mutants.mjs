import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * Opens every model of a directory, one after the other, and generates 4 tokens: `node open-mutants.mjs INDEX.js DIRECTORY`. A line of JSON
 * each: what became of it, and how long it took. A process of its own, so that a crash is seen and ends no test run.
 */
const [index, directory] = process.argv.slice(2);
const { Engine, KvasirError } = await import(pathToFileURL(index));

for (const name of readdirSync(directory)) {
  const begin = performance.now();
  const result = await tryModel(join(directory, name));
  console.log(JSON.stringify({ name, ...result, milliseconds: performance.now() - begin }));
}

async function tryModel(path) {
  let engine;
  try {
    engine = await Engine.open(path, { threads: 1 });
    const { tokens, finishReason } = await engine.generate([0], { maxTokens: 4, ignoreEos: true, seed: 1 });
    return { tokens: tokens.length, finishReason, maxContext: engine.stats().maxContext };
  } catch (error) {
    return error instanceof KvasirError ? { code: error.code, message: error.message } : { crash: String(error?.stack ?? error) };
  } finally {
    await engine?.close();
  }
}
