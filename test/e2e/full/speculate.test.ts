import { describe, test } from "vitest";
import { hasShared } from "../../support/shared.ts";
import { ARITHMETICS } from "../support/same.ts";
import { DRAFT, expectTalesLaw, talesRequests } from "../support/speculate-tales.ts";

/** The five reference prompts and 100 more: some minutes. */
describe.skipIf(!hasShared).each(ARITHMETICS)("tales, $compute: the same tokens and logprobs, as bits", (arithmetic) => {
  test.each([{ draft: DRAFT }, { lookup: true }, { draft: DRAFT, lookup: true }])("%j", async (speculate) => {
    await expectTalesLaw(await talesRequests(100), speculate, arithmetic);
  });
});
