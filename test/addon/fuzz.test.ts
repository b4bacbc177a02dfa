import { join } from "node:path";
import { expect, it } from "vitest";
import { temporaryDirectory } from "../support/temporary.ts";
import { runScript } from "./support/run.ts";

const directory = temporaryDirectory();
const CALLS = Number(process.env.KVASIR_FUZZ_CALLS ?? 4000);

it.each([1, 2])("answers random calls with a result or a code (seed %i)", async (seed) => {
  const { status, output } = await runScript("fuzz.mjs", [join(directory, `${seed}.bin`), String(seed), String(CALLS)]);
  expect(status, output).toBe("0");
  const { accepted, refused } = JSON.parse(output.trim().split("\n").at(-1)!) as { accepted: number; refused: number };
  expect(accepted).toBeGreaterThan(CALLS / 10);
  expect(refused).toBeGreaterThan(CALLS / 10);
});
