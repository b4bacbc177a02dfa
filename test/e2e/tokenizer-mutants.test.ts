import { test } from "vitest";
import { temporaryDirectory } from "../support/temporary.ts";
import { expectHarmlessTokenizers } from "./support/tokenizer-mutants.ts";

const COUNT = 300;
const directory = temporaryDirectory();

test(`${COUNT} odd tokenizers are refused, or encode each text or refuse it`, { timeout: 120_000 }, async () => {
  await expectHarmlessTokenizers(
    directory,
    Array.from({ length: COUNT }, (_, seed) => seed),
  );
});
