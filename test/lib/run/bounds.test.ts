import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { GenerateParams } from "../../../lib/api/params.ts";
import { Engine } from "../../../lib/engine.ts";
import { expectError } from "../../support/expect.ts";
import { TINY, writeModel } from "../../support/models.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { expectIdle } from "./support.ts";

/** What passes the checks of parameters is never refused natively: the ends of every range, on the addon. */

const directory = temporaryDirectory();
const MOST = 2 ** 31 - 1;
let engine: Engine;

beforeAll(async () => {
  await writeModel(join(directory, "model"), TINY);
  engine = await Engine.open(join(directory, "model"), { threads: 1 });
});
afterAll(() => engine.close());

/** A bias for every token. */
const all = (value: number): Record<number, number> => Object.fromEntries(Array.from({ length: TINY.vocabSize }, (_, id) => [id, value]));

test.each<GenerateParams>([
  { temperature: 0 },
  { temperature: Number.MIN_VALUE },
  { temperature: 1000 },
  { topK: MOST },
  { topP: 0 },
  { topP: Number.MIN_VALUE, minP: 1, typicalP: 0 },
  { typicalP: 1, minP: 0, topP: 1 },
  { repetitionPenalty: 0.001 },
  { repetitionPenalty: 1000 },
  { presencePenalty: -1000, frequencyPenalty: -1000 },
  { presencePenalty: 1000, frequencyPenalty: 1000 },
  { logitBias: all(1e6) },
  { logitBias: { ...all(Number.NEGATIVE_INFINITY), 0: -1e6 } },
  { seed: 0n },
  { seed: 2n ** 64n - 1n, n: 128 },
  { seed: 2 ** 53 - 1 },
  { minTokens: MOST, maxTokens: MOST },
  { minTokens: 0, maxTokens: 1 },
  { stopTokens: Array.from({ length: TINY.vocabSize }, (_, id) => id) },
  { stopTokens: [TINY.vocabSize - 1, TINY.vocabSize - 1], minTokens: 3 },
  { logprobs: 20 },
  { priority: MOST },
  { priority: -MOST },
])("%o", async (params) => {
  const { choices } = await engine.generate([0, TINY.vocabSize - 1], { maxTokens: 5, ...params });
  for (const { tokens } of choices) expect(tokens.length).toBeGreaterThan(0);
  expectIdle(engine);
});

test.each<GenerateParams>([
  { logitBias: all(Number.NEGATIVE_INFINITY) },
  { stopTokens: Array.from({ length: TINY.vocabSize }, (_, id) => id), minTokens: 2 },
])("what bans every token is the caller's mistake: %o", async (params) => {
  await expectError(engine.generate([0, 1], { maxTokens: 5, ...params }), "INVALID_ARGUMENT", /no token is left.*logitBias.*minTokens/);
  expectIdle(engine);
});
