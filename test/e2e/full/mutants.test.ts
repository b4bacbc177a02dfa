import { join } from "node:path";
import { test } from "vitest";
import { temporaryDirectory } from "../../support/temporary.ts";
import { expectHarmless, MUTANTS, openMutants } from "../support/mutants.ts";

/** 2,000 broken models, and what became of them: `npm run test:mutants`. */
const COUNTS: Record<string, number> = {
  GGUF: 900,
  "split GGUF": 100,
  safetensors: 400,
  "config.json": 200,
  "index.json": 150,
  "tokenizer_config.json": 150,
  "generation_config.json": 100,
};
const directory = temporaryDirectory();

test.each(MUTANTS)("$name", async ({ name, opened, write }) => {
  const count = COUNTS[name]!;
  const reports = await openMutants(join(directory, name), count, write());
  console.info(`${count} mutants of ${name}: ${expectHarmless(reports, count, opened)}`);
});
