import { test } from "vitest";
import { runExits } from "./support/exits.ts";

/** `npm run test:exits` has 200, and a second for each; here other test files take the cores. */
test("20 ends at any moment: the right exit code without delay, and nothing left", async () => {
  await runExits(20, 4000);
});
