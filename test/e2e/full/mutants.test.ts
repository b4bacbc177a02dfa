import { join } from "node:path";
import { test } from "vitest";
import { temporaryDirectory } from "../../support/temporary.ts";
import { expectHarmless, MUTANTS, openMutants } from "../support/mutants.ts";

/** 21,000 broken models, and what became of them: `npm run test:mutants`. */
const COUNTS: Record<string, number> = {
  GGUF: 7500,
  "split GGUF": 1000,
  safetensors: 4000,
  "config.json": 2500,
  float8: 1000,
  "index.json": 1500,
  "tokenizer_config.json": 2000,
  "generation_config.json": 1500,
};
const directory = temporaryDirectory();

test.each(MUTANTS)(
  "$name",
  async ({ name, opened, write }) => {
    const count = COUNTS[name]!;
    const reports = await openMutants(join(directory, name), count, write());
    console.info(`${count} mutants of ${name}: ${expectHarmless(reports, count, opened, { turns: true })}`);
  },
  3_600_000,
);
