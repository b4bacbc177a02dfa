import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { EngineOptions } from "../../../lib/api/options.ts";
import type { GenerateParams } from "../../../lib/api/params.ts";
import type { SpeculateOptions } from "../../../lib/api/speculate.ts";
import { sharedPath } from "../../support/shared.ts";
import { withEngine } from "./engines.ts";
import { cacheFor, TALES } from "./random-models.ts";
import { expectSameAs, type Request, runAlone } from "./same.ts";
import { talesReference } from "./tales.ts";

export const TARGET: string = sharedPath("models", "tales");
export const DRAFT: string = sharedPath("models", "tales-draft");

/** All that changes what is sampled, greedy and at two temperatures. */
const PARAMS: readonly GenerateParams[] = [
  { temperature: 0 },
  { temperature: 0.7, seed: 1, topP: 0.9 },
  { temperature: 1, seed: 2, minP: 0.05 },
  { temperature: 0, repetitionPenalty: 1.2, stop: [" the"], minTokens: 5 },
  { temperature: 0.7, seed: 3, presencePenalty: 0.5, frequencyPenalty: 0.3, n: 3 },
  { temperature: 1, seed: 4, topK: 40, typicalP: 0.95, stop: ["\n", "."], logitBias: { 11: 2, 13: -3 } },
];

/** The five reference prompts and `more` pieces of the evaluation text, each with other parameters. */
export async function talesRequests(more: number): Promise<Request[]> {
  const text = readFileSync(sharedPath("models", "tales", "eval.txt"), "utf8");
  const pieces = Array.from({ length: more }, (_, i) => text.slice(i * 700, i * 700 + 40 + ((i * 37) % 120)));
  const prompts = talesReference("tales").prompts.map(({ ids }) => Int32Array.from(ids));
  await withEngine(TARGET, {}, async (engine) => {
    for (const piece of pieces) prompts.push((await engine.tokenize(piece)).slice(0, 40));
  });
  return prompts.map((prompt, i) => ({ prompt, params: { ...PARAMS[i % PARAMS.length]!, maxTokens: 20 + (i % 5) * 6, logprobs: 2 } }));
}

/** Runs the requests in all ways without and with guesses, as many as there are, and as the engine decides. */
export async function expectTalesLaw(requests: Request[], speculate: SpeculateOptions, options: EngineOptions): Promise<void> {
  const alone = await runAlone(TARGET, requests, options);
  const small =
    cacheFor(TALES, 128, options) + (speculate.draft === undefined ? 0 : cacheFor({ ...TALES, layers: 4, headSize: 32 }, 128, options));
  for (const trial of [{ always: true }, {}]) {
    await expectSameAs(alone, TARGET, requests, small, { ...options, speculate }, trial, (engine, way) => {
      // In steps of 7 tokens there is room for what must run, and little else.
      if (trial.always && !way.startsWith("chunked")) expect(engine.stats().acceptanceRate, way).toBeGreaterThan(0.02);
    });
  }
}
