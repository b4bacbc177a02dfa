import { beforeAll, expect, test } from "vitest";
import { runScript } from "../addon/support/run.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { GEMMA3, writeQuantizedModel } from "./support/random-models.ts";

/** How another addon makes the main thread compute is the host's, and stays so; no token, log-probability or logit depends on it. */
interface Outcome {
  results: Record<string, string>;
  host: { roundsUp: boolean; keepsSubnormals: boolean };
}

const directory = temporaryDirectory();
let model: string;
let expected: Outcome;

async function outcome(when: string): Promise<Outcome> {
  const { status, output } = await runScript("../../e2e/support/floats.mjs", [model, when], ["--no-warnings"]);
  expect(status, output).toBe("0");
  return JSON.parse(output) as Outcome;
}

beforeAll(async () => {
  // 96: the root of it, by which gemma's embeddings are multiplied, has to be rounded.
  model = (await writeQuantizedModel(directory, "model", { ...GEMMA3, hiddenSize: 96 })).path;
  expected = await outcome("never");
}, 200_000);

test("a host that computes as usual", () => {
  expect(expected.host).toEqual({ roundsUp: false, keepsSubnormals: true });
  expect(new Set(Object.values(expected.results)).size).toBeGreaterThan(3);
});

test.each(["first", "between"])("a host that rounds upward and flushes subnormal numbers: %s", async (when) => {
  const { results, host } = await outcome(when);
  expect(results).toEqual(expected.results);
  expect(host).toEqual({ roundsUp: true, keepsSubnormals: process.arch !== "x64" });
});
