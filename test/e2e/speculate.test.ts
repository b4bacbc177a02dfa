import { beforeAll, describe, expect, test } from "vitest";
import { Pattern } from "../../bench/support/pattern.mjs";
import type { EngineOptions } from "../../lib/api/options.ts";
import type { SpeculationTrial } from "../../lib/run/speculate.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { ISAS } from "./support/engines.ts";
import { cacheFor, GEMMA3, LLAMA, writeQuantizedModel } from "./support/random-models.ts";
import { ARITHMETICS, expectSameAs, type Outcome, type Request, randomRequests, runAlone } from "./support/same.ts";

/** The law: with guesses, right or wrong, each request gets the tokens and log-probabilities that it gets without, to the bit. */

const directory = temporaryDirectory();
const lookup: EngineOptions = { speculate: { lookup: true } };

/** Guesses whatever it costs, `rate` of it right. */
function patternOf(rate: number, requests: Request[], alone: Outcome[]): SpeculationTrial {
  const known = requests.map(({ prompt }, i) => [...prompt, ...alone[i]!.tokens]);
  return { always: true, wrap: (proposer) => new Pattern(proposer, rate, known) };
}

describe.each(Object.entries({ LLAMA, GEMMA3 }))("%s", (name, shape) => {
  let model: string;
  beforeAll(async () => {
    model = (await writeQuantizedModel(directory, name, shape)).path;
  });

  test.each(ARITHMETICS.map((arithmetic) => ({ isa: ISAS.at(-1)!, ...arithmetic })))("$compute: guesses of all rates", async (options) => {
    const requests = randomRequests(24, shape.vocabSize, 60, 5);
    const alone = await runAlone(model, requests, options);
    for (const rate of [0, 0.6, 1]) {
      const trial = patternOf(rate, requests, alone);
      await expectSameAs(alone, model, requests, cacheFor(shape, 160, options), { ...options, ...lookup }, trial, (engine, way) => {
        const { acceptanceRate, acceptedLength } = engine.stats();
        expect(acceptedLength, way).toBeGreaterThanOrEqual(1);
        expect(Math.abs(acceptanceRate - [0, 0.25, 1][[0, 0.6, 1].indexOf(rate)]!), `${way}, ${rate}`).toBeLessThan(0.25);
      });
    }
  });
});
