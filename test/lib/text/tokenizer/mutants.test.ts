import { test } from "vitest";
import { expectHarmlessTokenizers } from "../../../support/harmless-tokenizers.ts";
import { temporaryDirectory } from "../../../support/temporary.ts";

const COUNT = 200;
const directory = temporaryDirectory();

test(`${COUNT} odd tokenizers are refused, or encode each text or refuse it`, { timeout: 600_000 }, async () => {
  await expectHarmlessTokenizers(
    directory,
    Array.from({ length: COUNT }, (_, seed) => seed),
  );
});
