import { describe, expect, test } from "vitest";
import { bytesOfWeights } from "../../../lib/model/manifest.ts";
import { checkHasTokens, checkSameTokens, joinSpecs } from "../../../lib/run/draft.ts";
import { buildVocabulary, type Vocabulary } from "../../../lib/text/tokenizer/vocabulary.ts";
import { fakeSource, VOCAB } from "../../support/fake-engine.ts";
import { checkedOptions } from "../../support/options.ts";

const model = fakeSource();
const draft = { ...fakeSource(), name: "small" };

test("the specs of both have the cache groups of both; a group has the layers of one", () => {
  const joined = joinSpecs(model.spec, draft.spec);
  expect(joined.model.cacheGroups.map(({ layers }) => layers)).toEqual([[0], [1], [], []]);
  expect(joined.draft.cacheGroups.map(({ layers }) => layers)).toEqual([[], [], [0], [1]]);
  expect(joined.draft.layers.map(({ mixer }) => mixer.cacheGroup)).toEqual([2, 3]);
  expect(joined.model.layers).toEqual(model.spec.layers);
});

test("the cache's bytes are shared: pages of a draft model as many as of layers that see all", () => {
  const given = { speculate: { draft: "small" }, kvCacheBytes: 100_000, maxContext: 128 } as const;
  const { pages, draftCompute } = checkedOptions(
    given,
    model,
    { isas: () => ["portable"], gpuCount: () => 0, gpuFreeBytes: () => undefined },
    draft,
  );
  expect([pages.length, pages[2], pages[3], draftCompute]).toEqual([4, pages[0], pages[0], "f32"]);
});

test("bytes of weights as they are repacked, by their types", () => {
  const tensor = { name: "", file: 0, offset: 0, plusOne: false };
  const tensors = [{ ...tensor, type: "Q8_0" as const, shape: [2, 64] }, { ...tensor, type: "F32" as const, shape: [3] }]; // biome-ignore format: a line
  expect(bytesOfWeights({ ...model, tensors })).toBe(4 * 34 + 12);
  const blocks = [{ ...tensor, type: "Q4_K" as const, shape: [2, 512] }, { ...tensor, type: "Q6_K" as const, shape: [256] }]; // biome-ignore format: a line
  expect(bytesOfWeights({ tensors: blocks })).toBe(4 * 148 + 210);
  expect(bytesOfWeights({ tensors: blocks }, "cuda")).toBe(4 * 160 + 224);
});

describe("tokens", () => {
  const facts = { bosToken: -1, eosToken: -1, endTokens: [], addsBos: false, prefixSpace: false, bosText: "", eosText: "" };
  const vocabularyOf = (pieces: string[], special: number[]): Vocabulary => {
    return buildVocabulary(pieces.map((piece) => Buffer.from(piece)), special, facts); // biome-ignore format: a line
  };
  const pieces = Array.from({ length: VOCAB }, (_, i) => `t${i}`);
  const check = (changed: string[], special: number[]): void => {
    checkSameTokens(model, draft, vocabularyOf(pieces, [0, 1]), vocabularyOf(changed, special));
  };

  test("are the same, or the first that differs is named", () => {
    check(pieces, [0, 1]);
    check([...pieces, "more than the model has"], [0, 1]);
    expect(() => check(pieces.with(7, "x").with(9, "y"), [0, 1])).toThrow(
      'speculate.draft is small, whose token 7 is "x"; expected "t7", as in fake',
    );
    expect(() => check(pieces.slice(0, 39), [0, 1])).toThrow('token 39 is ""; expected "t39"');
    expect(() => check(pieces, [0])).toThrow('token 1 is "t1"; expected "t1", special');
  });

  test("of a model that has a tokenizer are not drafted by one that has none", () => {
    const tokenizer = { kind: "json", json: "{}", config: undefined } as unknown as NonNullable<typeof model.tokenizer>;
    expect(() => checkHasTokens({ ...model, tokenizer }, draft)).toThrow(
      "speculate.draft is small, which has no tokenizer; expected one with the tokens of fake",
    );
    checkHasTokens({ ...model, tokenizer }, { ...draft, tokenizer });
    checkHasTokens(model, draft);
    checkHasTokens(model, { ...draft, tokenizer });
  });

  test("that one of the models lacks are never guessed, and not compared", () => {
    const smaller = { ...draft, spec: { ...draft.spec, vocabSize: 39 } };
    checkSameTokens(model, smaller, vocabularyOf(pieces, []), vocabularyOf(pieces.slice(0, 39), []));
    checkSameTokens(smaller, model, vocabularyOf(pieces.slice(0, 39), []), vocabularyOf(pieces, []));
  });
});
