import { readdirSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/**
 * Opens every tokenizer of a directory and encodes some texts with it: `node open-tokenizers.mjs LIBRARY DIRECTORY TEXTS`, TEXTS being JSON.
 * A line of JSON each: what became of it and the milliseconds of processor time that the longest call took of all threads. A process of its
 * own, so that a crash is seen and ends no test run.
 */
const [library, directory, json] = process.argv.slice(2);
const { TokenizerClient } = await import(pathToFileURL(join(library, "text/tokenizer/tokenizer.js")));
const { KvasirError } = await import(pathToFileURL(join(library, "errors.js")));
const texts = JSON.parse(json);

for (const name of readdirSync(directory)) {
  const report = { name, milliseconds: 0, opened: false, results: [] };
  await tryTokenizer(report);
  console.log(JSON.stringify(report));
}

async function tryTokenizer(report) {
  const tokenizer = await timed(report, () => TokenizerClient.open({ kind: "huggingface", directory: join(directory, report.name) }));
  if (typeof tokenizer.close !== "function") {
    report.results.push(tokenizer);
    return;
  }
  report.opened = true;
  for (const text of texts) report.results.push(await timed(report, async () => describe(tokenizer, await tokenizer.encode(text), text)));
  await tokenizer.close();
}

async function describe(tokenizer, ids, text) {
  return { count: ids.length, same: (await tokenizer.detokenize(ids)) === text };
}

async function timed(report, run) {
  const begin = process.cpuUsage();
  try {
    return await run();
  } catch (error) {
    return error instanceof KvasirError ? { code: error.code, message: error.message } : { crash: String(error?.stack ?? error) };
  } finally {
    const { user, system } = process.cpuUsage(begin);
    report.milliseconds = Math.max(report.milliseconds, (user + system) / 1000);
  }
}
