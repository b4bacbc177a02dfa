import { test } from "vitest";
import { runExits } from "../support/exits.ts";

/** 200 processes that end while an engine works: `npm run test:exits`. */
test("200 ends at any moment: the right exit code within a second, and nothing left", async () => {
  console.info(await runExits(200, 1000));
});
