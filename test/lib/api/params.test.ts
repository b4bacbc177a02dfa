import { expect, test, vi } from "vitest";
import { checkParams, choiceSeed, type GenerateParams } from "../../../lib/api/params.ts";

const check = (params: unknown) => checkParams(params as GenerateParams, {}, 100);

const absurd: [string, unknown][] = [
  ...["temperature", "topK", "topP", "minP", "typicalP", "repetitionPenalty", "minTokens", "maxTokens", "n", "logprobs", "seed"].flatMap(
    (name): [string, unknown][] => [Number.NaN, -1, 2 ** 53, "1", null, {}, Number.POSITIVE_INFINITY].map((value) => [name, value]),
  ),
  ...["presencePenalty", "frequencyPenalty", "priority"].flatMap((name): [string, unknown][] =>
    [Number.NaN, 2 ** 53, "1", [], true].map((value) => [name, value]),
  ),
  ...["topK", "maxTokens", "n", "seed", "priority"].map((name): [string, unknown] => [name, 1.5]),
  ["topP", 1.01],
  ["maxTokens", 0],
  ["n", 0],
  ["n", 129],
  ["logprobs", 21],
  ["repetitionPenalty", 0],
  ["seed", 1n << 64n],
  ["ignoreEos", 1],
  ["parseSpecial", "yes"],
  ["stop", ""],
  ["stop", ["a", 1]],
  ["stop", 5],
  ["stopTokens", 5],
  ["stopTokens", [100]],
  ["stopTokens", [-1]],
  ["logitBias", [1]],
  ["logitBias", { 100: 1 }],
  ["logitBias", { a: 1 }],
  ...["", " ", "1.0", "1e1", "0x10", "-0", "01"].map((key): [string, unknown] => ["logitBias", { [key]: 5 }]),
  ["logitBias", { 1: Number.NaN }],
  ["logitBias", { 1: Number.POSITIVE_INFINITY }],
  ["logitBias", new Map([["1", 1]])],
  ["logitsProcessor", {}],
  ["cacheSalt", 1],
  ["cacheSalt", "x".repeat(4097)],
  ["stop", "x".repeat(65_537)],
  ["stop", Array.from({ length: 257 }, () => "x")],
  ["stop", Array.from({ length: 2 }, () => "x".repeat(40_000))],
  ["stopTokens", new Int32Array(16_385)],
  ["signal", {}],
];

test.each(absurd)("%s: %s is INVALID_ARGUMENT and named", (name, value) => {
  expect(() => check({ [name]: value })).toThrow(
    expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(name) }),
  );
});

test("params are an object of known keys", () => {
  for (const params of [null, 5, "x", []]) expect(() => check(params)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  expect(() => check({ topk: 5 })).toThrow(/topk.*topK/);
  expect(() => check({ minTokens: 5, maxTokens: 4 })).toThrow(/minTokens.*maxTokens/);
});

test("defaults are the caller's, then the model's, then the documented ones", () => {
  const model = { temperature: 0.6, topK: 20, topP: 0.9, minP: 0.05, repetitionPenalty: 1.1 };
  expect(checkParams({ topK: 0 }, model, 100)).toMatchObject({
    ...model,
    topK: 0,
    n: 1,
    minTokens: 0,
    logprobs: -1,
    stop: [],
    priority: 0,
  });
  expect(checkParams(undefined, {}, 100)).toMatchObject({
    temperature: 1,
    topK: 0,
    topP: 1,
    minP: 0,
    typicalP: 1,
    repetitionPenalty: 1,
    cacheSalt: "",
  });
  expect(checkParams({ temperature: undefined } as never, model, 100).temperature).toBe(0.6);
  expect(check({ stop: "x", logprobs: true })).toMatchObject({ stop: ["x"], logprobs: 0 });
});

test("logitBias is an object or a Map; -Infinity bans", () => {
  expect(check({ logitBias: { 3: -1, 7: Number.NEGATIVE_INFINITY } })).toMatchObject({
    biasTokens: Int32Array.of(3, 7),
    biasValues: Float64Array.of(-1, Number.NEGATIVE_INFINITY),
  });
  expect(check({ logitBias: new Map([[9, 2]]) }).biasTokens).toEqual(Int32Array.of(9));
});

test("seeds: whole numbers and 64-bit bigints; each choice has its own, the first the request's", () => {
  expect(check({ seed: 2 ** 53 - 1 }).seed).toBe(BigInt(2 ** 53 - 1));
  expect(check({ seed: (1n << 64n) - 1n }).seed).toBe((1n << 64n) - 1n);
  expect(check({}).seed).not.toBe(check({}).seed);
  const seeds = Array.from({ length: 128 }, (_, i) => choiceSeed(7n, i));
  expect(seeds[0]).toBe(7n);
  expect(new Set(seeds).size).toBe(128);
  expect(seeds.every((seed) => seed >= 0n && seed < 1n << 64n)).toBe(true);
});

test("of a Map with too many biases none is read", () => {
  const bias = new Map(Array.from({ length: 10 }, (_, i) => [i, 1]));
  const forEach = vi.spyOn(Map.prototype, "forEach");
  vi.spyOn(Map.prototype, "size", "get").mockReturnValue(2 ** 22 + 1);
  try {
    expect(() => check({ logitBias: bias })).toThrow("the number of entries of logitBias is 4194305; expected a whole number from 0 to");
    expect(forEach).not.toHaveBeenCalled();
  } finally {
    vi.restoreAllMocks();
  }
});
