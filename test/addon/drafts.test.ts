import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type NativeEngine, ROW_OUTPUT, type StepBuffers, type StepDrafts } from "../../lib/native/addon.ts";
import { joinSpecs } from "../../lib/run/draft.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { addon, SHAPE, slotConfig, stepBuffers, tinyConfig } from "./support/tiny.mjs";
import { WRONG } from "./support/wrong.ts";

/** What the draft model runs before a step: here it is the model itself, so that all that it guesses is right. */

const PROMPT = Int32Array.from({ length: 20 }, (_, i) => (i * 7 + 3) % SHAPE.vocab);
const END = PROMPT.length;
const directory = temporaryDirectory();
let engine: NativeEngine;
let plain: NativeEngine;

beforeAll(async () => {
  const config = tinyConfig(join(directory, "model.bin"));
  const { model, draft } = joinSpecs(config.spec, config.spec);
  const { files, tensors, compute } = config;
  engine = new addon.Engine({ ...config, spec: model, pages: [128, 128, 128, 128], draft: { spec: draft, files, tensors, compute } });
  plain = new addon.Engine(config);
  const shares: number[] = [];
  await engine.load((done, total) => shares.push(done / total));
  expect([shares.every((share, i) => i === 0 || share >= shares[i - 1]!), shares.at(-1)]).toEqual([true, 1]);
  await plain.load(() => {});
});
afterAll(() => Promise.all([engine.close(), plain.close()]));

/** A row of slot 0 whose last tokens are guesses, of pages that both models have. */
function step(start: number, tokens: readonly number[], outputs: number, drafts?: Partial<StepDrafts>): StepBuffers {
  const buffers = stepBuffers([{ slot: 0, start, tokens: Int32Array.from(tokens), output: ROW_OUTPUT.sample, outputs }]);
  const { kvIndptr, kvPages } = buffers;
  const length = kvPages.length;
  return {
    ...buffers,
    kvIndptr: Int32Array.from([...kvIndptr, ...kvIndptr.map((end) => end + length)]),
    kvFirst: new Int32Array(4),
    kvPages: Int32Array.from([...kvPages, ...kvPages]),
    drafts: drafts as StepDrafts | undefined,
  };
}

const drafts = (start: number, tokens: readonly number[], count: number): StepDrafts => ({
  indptr: Int32Array.of(0, tokens.length),
  starts: Int32Array.of(start),
  tokens: Int32Array.from(tokens),
  counts: Int32Array.of(count),
});

const sampling = {
  temperature: 1.2,
  seed: 5n,
  topK: 30,
  repetitionPenalty: 1.4,
  frequencyPenalty: 0.5,
  minTokens: 9,
  endTokens: Int32Array.of(4),
};

/** Tokens one by one, without a draft model. */
async function expected(count: number): Promise<number[]> {
  plain.setSlot(0, slotConfig({ ...sampling, tokens: PROMPT, promptLength: END }));
  const tokens: number[] = [];
  for (let i = 0; i < count; i++) {
    const row = { slot: 0, start: i === 0 ? 0 : END + i - 1, tokens: i === 0 ? PROMPT : [-1], output: ROW_OUTPUT.sample };
    const buffers = stepBuffers([row]);
    await plain.step(buffers);
    tokens.push(buffers.sampled[0]!);
  }
  return tokens;
}

it("guesses with the slot's own draws, penalties and bans, which are as before when the step begins", async () => {
  engine.setSlot(0, slotConfig({ ...sampling, tokens: PROMPT, promptLength: END }));
  const tokens = await expected(12);
  const first = step(0, [...PROMPT], 1);
  await engine.step(first);
  expect([...first.sampled]).toEqual(tokens.slice(0, 1));
  // The last token is on the device, for both models; the draft model has not seen the prompt.
  const right = step(END, [-1, -2, -3, -4], 4, drafts(0, [...PROMPT, -1], 3));
  await engine.step(right);
  expect([...right.sampled]).toEqual(tokens.slice(1, 5));
  // A token of its own in place of the second guess; the draft model has not run its last guess of before.
  const wrong = step(END + 4, [tokens[4]!, -2, (tokens[6]! + 1) % SHAPE.vocab, -4], 4, drafts(END + 3, tokens.slice(3, 5), 3));
  await engine.step(wrong);
  expect([...wrong.sampled]).toEqual([...tokens.slice(5, 7), -1, -1]);
  // Runs what it lacks, and guesses nothing.
  const behind = step(END + 6, [-1], 1, drafts(END + 5, tokens.slice(5, 7), 0));
  await engine.step(behind);
  expect([...behind.sampled]).toEqual(tokens.slice(7, 8));
  const again = step(END + 7, [-1, -2, -3], 3, drafts(END + 7, [-1], 2));
  await engine.step(again);
  expect([...again.sampled]).toEqual(tokens.slice(8, 11));
});

it.each<[string, StepDrafts | object]>([
  ["more drafts than outputs allow", drafts(END, [-1], 3)],
  ["drafts that begin elsewhere", drafts(END - 1, [-1], 2)],
  ["drafts of nothing", drafts(END, [], 2)],
  ["fewer than none", drafts(END, [-1], -1)],
  ["a guess that is not drafted", drafts(END, [-1], 1)],
  ["a token outside of the vocabulary", drafts(END, [SHAPE.vocab], 2)],
  ["a token that is no token", drafts(END, [-2], 2)],
  ["a start before the first", drafts(-1, Array(END + 2).fill(1), 2)],
  ["pages that do not reach so far", drafts(900, Array(100).fill(1), 0)],
  ["more tokens than a step may have", drafts(0, Array(1025).fill(1), 0)],
  ["ends that go down", { ...drafts(END, [-1], 2), indptr: Int32Array.of(1, 0) }],
  ["arrays that are too short", { ...drafts(END, [-1], 2), starts: new Int32Array() }],
  ["something else", { ...drafts(END, [-1], 2), tokens: [1] }],
])("%s is INVALID_ARGUMENT, and nothing has changed", async (_, wrong) => {
  engine.setSlot(0, slotConfig({ ...sampling, tokens: PROMPT, promptLength: END }));
  const tokens = await expected(4);
  await engine.step(step(0, [...PROMPT], 1));
  await expect(engine.step(step(END, [-1, -2, -3], 3, wrong))).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  const right = step(END, [-1, -2, -3], 3, drafts(0, [...PROMPT, -1], 2));
  await engine.step(right);
  expect([...right.sampled]).toEqual(tokens.slice(1, 4));
});

it("without a draft model, and for rows that sample nothing, nothing is drafted", async () => {
  plain.setSlot(0, slotConfig({ tokens: PROMPT, promptLength: END }));
  const row = { slot: 0, start: 0, tokens: PROMPT, output: ROW_OUTPUT.sample };
  await expect(plain.step({ ...stepBuffers([row]), drafts: drafts(0, [...PROMPT], 0) })).rejects.toMatchObject({
    code: "INVALID_ARGUMENT",
  });
  const none = {
    ...step(0, [...PROMPT], 1, drafts(0, [...PROMPT], 1)),
    kinds: Int32Array.of(ROW_OUTPUT.none),
    outIndptr: new Int32Array(2),
  };
  await expect(engine.step(none)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  for (const wrong of WRONG.filter((value) => value !== undefined)) {
    await expect(engine.step(step(0, [...PROMPT], 1, wrong as StepDrafts))).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  }
});

it.each([
  [2, 99],
  [3, -1],
  [7, 99],
])("pages of the draft model's groups are parts of all pages: kvIndptr[%i] = %i", async (at, wrong) => {
  engine.setSlot(0, slotConfig({ tokens: PROMPT, promptLength: END }));
  const buffers = step(0, [...PROMPT], 1, drafts(0, [...PROMPT], 0));
  buffers.kvIndptr[at] = wrong;
  await expect(engine.step(buffers)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  await expect(engine.step({ ...buffers, drafts: undefined })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
});

it.each([-3, 5])("a draft model of %i more tokens than the model has guesses those of both, and runs others as token 0", async (more) => {
  const config = tinyConfig(join(directory, "model.bin"));
  const { model, draft } = joinSpecs(config.spec, { ...config.spec, vocabSize: SHAPE.vocab + more });
  const tensors = config.tensors.map((tensor) => {
    return tensor.name === "embed" ? { ...tensor, shape: [SHAPE.vocab + more, SHAPE.hidden] } : tensor;
  });
  const { files, compute } = config;
  const pages = [128, 128, 128, 128];
  const other = new addon.Engine({ ...config, spec: model, pages, draft: { spec: draft, files, tensors, compute } });
  await other.load(() => {});
  const last = SHAPE.vocab - 1;
  const prompt = Int32Array.from([...PROMPT.subarray(1), last]);
  // Penalties and biases of tokens that the draft model lacks.
  const config0 = slotConfig({
    ...sampling,
    biasTokens: Int32Array.of(last),
    biasValues: Float64Array.of(-1),
    tokens: prompt,
    promptLength: END,
  });
  plain.setSlot(0, config0);
  other.setSlot(0, config0);
  const alone: number[] = [];
  for (let i = 0; i < 10; i++) {
    const buffers = stepBuffers([
      { slot: 0, start: i === 0 ? 0 : END + i - 1, tokens: i === 0 ? prompt : [-1], output: ROW_OUTPUT.sample },
    ]);
    await plain.step(buffers);
    alone.push(buffers.sampled[0]!);
  }
  await other.step(step(0, [...prompt], 1));
  const guessed = step(END, [-1, -2, -3, -4], 4, drafts(0, [...prompt, -1], 3));
  await other.step(guessed);
  const right = guessed.sampled.filter((token) => token >= 0);
  expect([...right]).toEqual(alone.slice(1, 1 + right.length));
  await other.close();
});
