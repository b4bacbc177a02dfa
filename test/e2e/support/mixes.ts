import { expect } from "vitest";
import type { Completion } from "../../../lib/api/completion.ts";
import type { EngineOptions } from "../../../lib/api/options.ts";
import type { GenerateParams } from "../../../lib/api/params.ts";
import type { Engine } from "../../../lib/engine.ts";
import { Random } from "../../support/reference.ts";
import { held, ISAS, NOTHING, withEngine } from "./engines.ts";
import { cacheFor, GEMMA3, LLAMA, writeQuantizedModel } from "./random-models.ts";
import { type Outcome, outcomeOf, type Request, randomRequests } from "./same.ts";

/**
 * A mix: random requests that arrive at random moments at an engine with random options, some through streams, some with several choices,
 * a processor, a priority or a salt, some of them ended early, scores among them. Each must get what it gets alone, on one thread, in
 * one piece and without a prefix cache. A seed names a mix.
 */

/** What all of a mix is made of. */
interface Mix {
  shape: "llama" | "gemma3";
  /** What changes the arithmetic, so it is the same alone. */
  arithmetic: EngineOptions;
  /** What must change nothing. */
  schedule: EngineOptions;
  /** Who guesses: a lookup, the other model, the model itself, or several. */
  speculate: { lookup: boolean; draft: Mix["shape"] | undefined } | undefined;
  arrivals: Arrival[];
}

interface Arrival extends Request {
  /** Turns of the event loop before it comes. */
  turn: number;
  way: "generate" | "stream" | "abort" | "leave" | "score";
}

/** The models of mixes, written to a directory. */
export async function writeMixModels(directory: string): Promise<Record<Mix["shape"], string>> {
  const [llama, gemma3] = [await writeQuantizedModel(directory, "llama", LLAMA), await writeQuantizedModel(directory, "gemma3", GEMMA3)];
  return { llama: llama.path, gemma3: gemma3.path };
}

/** Runs the mix of a seed and compares. */
export async function runMix(models: Record<Mix["shape"], string>, seed: number): Promise<void> {
  const { shape, arithmetic, schedule, speculate, arrivals } = randomMix(seed);
  const model = models[shape];
  const draft = speculate?.draft === undefined ? {} : { draft: models[speculate.draft] };
  const guessing = speculate === undefined ? {} : { speculate: { lookup: speculate.lookup, ...draft } };
  const alone = await withEngine(model, { ...arithmetic, threads: 1, prefixCache: false }, async (engine) => {
    const outcomes: unknown[] = [];
    for (const arrival of arrivals) outcomes.push(await runWhole(engine, arrival));
    return outcomes;
  });
  const work = async (engine: Engine): Promise<void> => {
    const mixed = await Promise.all(arrivals.map((arrival) => arrive(engine, arrival)));
    for (const [i, outcome] of mixed.entries()) {
      const { turn, way } = arrivals[i]!;
      if (outcome !== undefined) expect({ seed, i, turn, way, outcome }).toEqual({ seed, i, turn, way, outcome: alone[i] });
    }
    expect(held(engine)).toEqual(NOTHING);
  };
  await withEngine(model, { ...arithmetic, ...schedule, ...guessing }, work, { always: seed % 4 > 0 });
}

function randomMix(seed: number): Mix {
  const random = new Random(seed);
  const pick = <T>(values: readonly T[]): T => values[random.int(values.length)]!;
  const shape = pick(["llama", "gemma3"] as const);
  const tokens = random.int(2) === 0 ? 160 + random.int(400) : 0;
  const draft = pick([undefined, "llama", "gemma3"] as const);
  const speculate = random.int(3) === 0 ? undefined : { lookup: draft === undefined || random.int(2) === 0, draft };
  const bytesOf = (name: Mix["shape"]): number => cacheFor(name === "llama" ? LLAMA : GEMMA3, tokens, { kvType: "f32" });
  const small = tokens === 0 ? {} : { kvCacheBytes: bytesOf(shape) + (speculate?.draft === undefined ? 0 : bytesOf(speculate.draft)) };
  return {
    speculate,
    shape,
    arithmetic: { isa: pick(ISAS), compute: pick(["f32", "bf16", "int8"] as const), kvType: pick(["f32", "f16", "bf16", "fp8"] as const) },
    schedule: { threads: 1 + random.int(3), maxBatchTokens: pick([3, 7, 16, 33, 64, 512]), prefixCache: random.int(4) > 0, ...small },
    arrivals: randomRequests(1 + random.int(40), LLAMA.vocabSize, 60, seed).map(({ prompt, params }) => ({
      prompt,
      params: {
        ...params,
        speculate: random.int(5) > 0,
        ...(params.ignoreEos && random.int(6) === 0 ? extras(random) : {}),
        priority: random.int(3),
      },
      turn: random.int(60),
      way: pick(["generate", "generate", "stream", "abort", "leave", "score"] as const),
    })),
  };
}

function extras(random: Random): GenerateParams {
  return random.int(2) === 0 ? { n: 3 } : { cacheSalt: "salt", logitsProcessor: discourageLast };
}

function discourageLast(logits: Float32Array, { tokens }: { tokens: Int32Array }): void {
  logits[tokens.at(-1)!]! -= 2;
}

/** A completion's choices, or a text's scores. */
async function runWhole(engine: Engine, { prompt, params, way }: Arrival): Promise<Outcome[] | Float32Array> {
  if (way === "score") return (await engine.score(prompt)).logprobs;
  return (await engine.generate(prompt, params)).choices.map(outcomeOf);
}

/** `undefined` for what ends early. */
async function arrive(engine: Engine, arrival: Arrival): Promise<Outcome[] | Float32Array | undefined> {
  for (let turn = 0; turn < arrival.turn; turn++) await new Promise((resolve) => setImmediate(resolve));
  const { prompt, params, way } = arrival;
  if (way === "generate" || way === "score") return runWhole(engine, arrival);
  if (way === "stream") return streamed(engine, arrival);
  const [controller, reason] = [new AbortController(), new Error("the caller's reason")];
  const stream = engine.stream(prompt, { ...params, signal: controller.signal });
  try {
    for await (const { tokens } of stream) {
      if (way === "leave" && tokens.length % 2 === 1) break;
      if (way === "abort") setImmediate(() => controller.abort(reason));
    }
  } catch (error) {
    expect(error).toBe(reason);
  }
  return undefined;
}

async function streamed(engine: Engine, { prompt, params }: Arrival): Promise<Outcome[]> {
  const choices: Pick<Completion, "tokens" | "logprobs" | "finishReason">[] = [];
  for await (const { index, tokens, logprobs, finishReason } of engine.stream(prompt, params)) {
    choices[index] ??= { tokens: [], logprobs: [], finishReason: "length" };
    const choice = choices[index];
    choice.tokens.push(...tokens);
    choice.logprobs!.push(...logprobs!);
    if (finishReason !== undefined) choice.finishReason = finishReason;
  }
  return choices.map(outcomeOf);
}
