import { beforeAll, test } from "vitest";
import { temporaryDirectory } from "../../support/temporary.ts";
import { runMix, writeMixModels } from "../support/mixes.ts";

const directory = temporaryDirectory();
let models: Awaited<ReturnType<typeof writeMixModels>>;
beforeAll(async () => {
  models = await writeMixModels(directory);
});

/** Twenty at a time, by their seeds; the core suite has those below 12. */
test.each(Array.from({ length: 10 }, (_, i) => [1000 + 20 * i]))("200 random mixes: seeds from %i on", async (first) => {
  for (let seed = first; seed < first + 20; seed++) await runMix(models, seed);
});
