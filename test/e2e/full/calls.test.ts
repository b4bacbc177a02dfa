import { test } from "vitest";
import { expectTypedErrors } from "../support/junk-beside.ts";

/** `npm run test:calls`. */
test.each(Array.from({ length: 10 }, (_, round) => round))("2,000 junk calls, round %i of 10", async (round) => {
  console.info(await expectTypedErrors(2000, 100 + round));
});
