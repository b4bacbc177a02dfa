import { beforeAll, describe, expect, test } from "vitest";
import type { GenerateParams } from "../../lib/api/params.ts";
import type { Engine } from "../../lib/engine.ts";
import { TINY } from "../support/models.ts";
import { Random } from "../support/reference.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { openEngine } from "./support/engines.ts";
import { GEMMA3, LLAMA, writeQuantizedModel } from "./support/random-models.ts";

const directory = temporaryDirectory();
const GREEDY: GenerateParams = { temperature: 0, ignoreEos: true, maxTokens: 8, logprobs: true };
const random = new Random(7);
const tokens = (count: number): number[] => Array.from({ length: count }, () => random.int(LLAMA.vocabSize));

describe.each([
  ["LLAMA", "f16", LLAMA],
  ["GEMMA3", "f16", GEMMA3],
  ["LLAMA", "fp8", LLAMA],
] as const)("the prefix cache: %s, %s", (name, kvType, shape) => {
  let engine: Engine;
  beforeAll(async () => {
    engine = await openEngine((await writeQuantizedModel(directory, name, shape)).path, { kvType });
  });
  const run = async (prompt: number[], params?: GenerateParams) => {
    const { tokens: sampled, logprobs, usage } = await engine.generate(prompt, { ...GREEDY, ...params });
    return { sampled, logprobs, cachedTokens: usage.cachedTokens };
  };

  test("a prompt again computes only its last page; its tokens and logprobs are the same", async () => {
    const prompt = tokens(100);
    const first = await run(prompt);
    expect(first.cachedTokens).toBe(0);
    expect(await run(prompt)).toEqual({ ...first, cachedTokens: 96 });
    // 96 tokens are whole pages, but the last token has to be computed: its row samples.
    expect((await run(prompt.slice(0, 96))).cachedTokens).toBe(80);
    expect((await run([...prompt.slice(0, 50), ...tokens(30)])).cachedTokens).toBe(48);
    expect((await run(prompt.slice(0, 16))).cachedTokens).toBe(0);
  });

  test("a conversation finds its own output, and another salt finds nothing", async () => {
    const prompt = tokens(40);
    const { sampled } = await run(prompt, { maxTokens: 60 });
    expect((await run([...prompt, ...sampled, 5])).cachedTokens).toBe(96);
    expect((await run(prompt, { cacheSalt: "another" })).cachedTokens).toBe(0);
    expect((await run(prompt, { cacheSalt: "another" })).cachedTokens).toBe(32);
  });

  test("choices of one request share its prompt", async () => {
    const { choices } = await engine.generate(tokens(70), { n: 3, seed: 1, maxTokens: 4 });
    expect(choices.map(({ usage }) => usage.cachedTokens)).toEqual([0, 64, 64]);
  });
});

test("a long prompt does not stall running streams: each gets a token in every step", async () => {
  const shape = { ...TINY, ...LLAMA, contextLength: 4096 };
  const { path } = await writeQuantizedModel(directory, "fair", shape);
  const engine = await openEngine(path, { maxBatchTokens: 64 });
  const counts = new Array<number>(8).fill(0);
  const controller = new AbortController();
  const streams = counts.map(async (_, i) => {
    for await (const chunk of engine.stream(tokens(20), { ignoreEos: true, signal: controller.signal })) counts[i]! += chunk.tokens.length;
  });
  while (Math.min(...counts) < 3) await new Promise((resolve) => setImmediate(resolve));
  const before = [...counts];
  await engine.generate(tokens(2000), { maxTokens: 1, ignoreEos: true });
  // 56 tokens of a step's 64 are left for the prompt: 36 steps. Two of them may be settled later.
  for (const [i, count] of counts.entries()) expect(count - before[i]!).toBeGreaterThanOrEqual(34);
  controller.abort(new Error("enough"));
  for (const { status } of await Promise.allSettled(streams)) expect(status).toBe("rejected");
});
