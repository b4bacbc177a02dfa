import { beforeAll, describe, expect, test } from "vitest";
import { Pattern } from "../../bench/support/pattern.mjs";
import type { SpeculateOptions } from "../../lib/api/speculate.ts";
import type { Engine } from "../../lib/engine.ts";
import type { SpeculationTrial } from "../../lib/run/speculate.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { ISAS, withEngine } from "./support/engines.ts";
import { cacheFor, GEMMA3, LLAMA, writeQuantizedModel } from "./support/random-models.ts";
import { ARITHMETICS, expectSameAs, type Outcome, type Request, randomRequests, runAlone } from "./support/same.ts";

/** The law: with guesses, right or wrong, each request gets the tokens and log-probabilities that it gets without, to the bit. */

const directory = temporaryDirectory();
const paths = new Map<string, string>();
beforeAll(async () => {
  for (const [name, shape] of Object.entries({ LLAMA, GEMMA3 })) paths.set(name, (await writeQuantizedModel(directory, name, shape)).path);
});

/** Guesses whatever it costs, `rate` of it right. */
function patternOf(rate: number, requests: Request[], alone: Outcome[]): SpeculationTrial {
  const known = requests.map(({ prompt }, i) => [...prompt, ...alone[i]!.tokens]);
  return { always: true, wrap: (proposer) => new Pattern(proposer, rate, known) };
}

/** `least` to `most` of what was guessed was right. */
const accepts = (least: number, most: number) => (engine: Engine, way: string) => {
  const { acceptanceRate, acceptedLength } = engine.stats();
  expect(acceptedLength, way).toBeGreaterThanOrEqual(1); // something was guessed
  expect(acceptanceRate, way).toBeGreaterThanOrEqual(least);
  expect(acceptanceRate, way).toBeLessThanOrEqual(most);
};

/** Compares all ways with alone without guesses, at each of the rates, or as the proposers guess. */
async function expectLaw(
  name: string,
  speculate: SpeculateOptions,
  arithmetic: (typeof ARITHMETICS)[number],
  rates: number[] | undefined,
  seen: (engine: Engine, way: string) => void,
): Promise<void> {
  const shape = name === "LLAMA" ? LLAMA : GEMMA3;
  const model = paths.get(name)!;
  const options = { isa: ISAS.at(-1)!, ...arithmetic };
  const requests = randomRequests(24, shape.vocabSize, 60, 5);
  const alone = await runAlone(model, requests, options);
  const drafting = speculate.draft === undefined ? [] : [speculate.draft === paths.get("LLAMA") ? LLAMA : GEMMA3];
  const small = [shape, ...drafting].reduce((sum, each) => sum + cacheFor(each, 160, options), 0);
  const trials = rates?.map((rate) => patternOf(rate, requests, alone)) ?? [{ always: true }];
  for (const trial of trials) await expectSameAs(alone, model, requests, small, { ...options, speculate }, trial, seen);
}

describe.each(["LLAMA", "GEMMA3"])("%s", (name) => {
  test.each(ARITHMETICS)("$compute: guesses by lookup that are wrong, mixed and right", async (arithmetic) => {
    await expectLaw(name, { lookup: true }, arithmetic, [0], accepts(0, 0));
    await expectLaw(name, { lookup: true }, arithmetic, [0.6], accepts(0.1, 0.5));
    await expectLaw(name, { lookup: true }, arithmetic, [1], accepts(1, 1));
    await expectLaw(name, { lookup: true }, arithmetic, undefined, accepts(0, 1));
  });

  test.each(ARITHMETICS)(
    "$compute: a model that drafts for itself has the same draws, penalties and filters: all is right",
    async (arithmetic) => {
      await expectLaw(name, { draft: paths.get(name)! }, arithmetic, undefined, accepts(1, 1));
    },
  );

  test.each(ARITHMETICS)(
    "$compute: another model drafts, a lookup before it; what it drafts is replaced by a pattern",
    async (arithmetic) => {
      const draft = paths.get(name === "LLAMA" ? "GEMMA3" : "LLAMA")!;
      await expectLaw(name, { draft, lookup: true }, arithmetic, undefined, accepts(0, 0.9));
      // Chunked at 7 tokens some 16 rows guess: what is right of so few varies.
      await expectLaw(name, { draft, tokens: 3 }, arithmetic, [0.6], accepts(0.1, 0.9));
    },
  );
});

test("who doesn't want guesses gets none; `usage` and `timings` tell of those of others", async () => {
  const params = { temperature: 0, maxTokens: 40, ignoreEos: true };
  const model = paths.get("LLAMA")!;
  await withEngine(
    model,
    { speculate: { draft: model } },
    async (engine) => {
      const [plain, guessing] = await Promise.all([
        engine.generate([1, 2, 3], { ...params, speculate: false }),
        engine.generate([1, 2, 3], params),
      ]);
      expect(guessing.tokens).toEqual(plain.tokens);
      expect([plain.usage.draftedTokens, plain.timings.acceptedLength]).toEqual([0, 0]);
      expect(guessing.usage.draftedTokens).toBe(guessing.usage.acceptedTokens);
      expect(guessing.timings).toMatchObject({ acceptanceRate: 1, acceptedLength: engine.stats().acceptedLength });
      expect(guessing.timings.acceptedLength).toBeGreaterThan(4);
    },
    { always: true },
  );
});
