import { join } from "node:path";
import { test } from "vitest";
import { temporaryDirectory } from "../support/temporary.ts";
import { expectHarmless, MUTANTS, openMutants } from "./support/mutants.ts";

/** `npm run test:mutants` opens 21,000. */
const COUNT = 80;
const directory = temporaryDirectory();

test.each(MUTANTS)(
  "mutants of $name: a typed error, or a model that opens and generates 4 tokens",
  async ({ name, opened, write }) => {
    expectHarmless(await openMutants(join(directory, name), COUNT, write()), COUNT, opened);
  },
  60_000,
);
