import { test } from "vitest";
import { expectTypedErrors } from "./support/junk-beside.ts";

/** `npm run test:calls` makes 20,000. */
test("1,000 junk calls: a typed error or a result each, and nothing for those beside them", async () => {
  await expectTypedErrors(1000, 1);
});
