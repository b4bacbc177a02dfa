import { test } from "vitest";
import { temporaryDirectory } from "../../support/temporary.ts";
import { expectHarmlessTokenizers } from "../support/tokenizer-mutants.ts";

const COUNT = 2000;
const directory = temporaryDirectory();

test(`${COUNT} odd tokenizers are refused, or encode each text or refuse it`, async () => {
  await expectHarmlessTokenizers(
    directory,
    Array.from({ length: COUNT }, (_, i) => 10_000 + i),
  );
});
