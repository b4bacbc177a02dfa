import { test } from "vitest";
import { runExits } from "./support/exits.ts";

/** `npm run test:exits` has 200, and a second for each; here other test files take the cores, and sanitizers their time. */
test("20 ends at any moment: the right exit code, no hang, and nothing left", async () => {
  await runExits(20, 10_000);
});
