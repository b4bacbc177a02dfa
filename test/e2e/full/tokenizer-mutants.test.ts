import { test } from "vitest";
import { expectHarmlessTokenizers } from "../../support/harmless-tokenizers.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const COUNT = 2000;
const directory = temporaryDirectory();

test(`${COUNT} odd tokenizers are refused, or encode each text or refuse it`, async () => {
  await expectHarmlessTokenizers(
    directory,
    Array.from({ length: COUNT }, (_, i) => 10_000 + i),
  );
});
