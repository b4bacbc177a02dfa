import { describe, expect, test } from "vitest";
import { PromptPace } from "../../../lib/run/prompt-pace.ts";
import { addRow, createPlan, type Plan } from "../../../lib/schedule/plan.ts";
import { createSequence, type Sequence } from "../../../lib/schedule/sequence.ts";
import { Random } from "../../support/reference.ts";

/** A sequence with a prompt of `length` tokens, `computed` of which have run; one that streams has run all of them, and sampled. */
function sequenceOf(length: number, computed: number, output: "sample" | "score" = "sample"): Sequence {
  const options = {
    prompt: new Int32Array(length),
    maxTokens: output === "score" ? 0 : 10,
    output,
    priority: 0,
    speculate: false,
  } as const;
  const sequence = createSequence({ ...options, media: [], adapter: "", cacheSalt: "" }, 0, 1);
  sequence.computed = computed;
  return sequence;
}

function stream(): Sequence {
  const sequence = sequenceOf(4, 0);
  addRow(createPlan(), sequence, 4);
  return sequence;
}

/** A step of streams and so many tokens of a prompt. */
function planOf(streams: Sequence[], sequence: Sequence, tokens: number): Plan {
  const plan = createPlan();
  for (const other of streams) addRow(plan, other, 1);
  addRow(plan, sequence, tokens);
  return plan;
}

/** Runs a prompt by its pace beside 16 streams, each step of which takes what `stepMs` says; returns the longest, and how many tokens they had. */
function longest(pace: PromptPace, length: number, stepMs: (tokens: number, position: number) => number): { ms: number; sizes: number[] } {
  const streams = Array.from({ length: 16 }, stream);
  const sequence = sequenceOf(length, 0);
  const sizes: number[] = [];
  let ms = 0;
  while (sequence.computed < length) {
    const tokens = Math.min(pace.tokensBeside([...streams, sequence]), 512, length - sequence.computed);
    const took = stepMs(tokens + 16, sequence.computed + tokens / 2);
    pace.add(planOf(streams, sequence, tokens), { ms: took });
    sizes.push(tokens);
    ms = Math.max(ms, took);
  }
  return { ms, sizes };
}

describe("prompts beside streams", () => {
  test("run in steps of the time that is allowed, also where tokens cost more the further on they are", () => {
    const { ms, sizes } = longest(new PromptPace(100), 8000, (tokens, position) => 10 + tokens * (0.4 + position / 4000));
    expect(ms).toBeLessThan(125);
    expect(ms).toBeGreaterThan(90);
    expect(sizes[3]!).toBeGreaterThan(140);
    expect(sizes.at(-2)!).toBeLessThan(60);
  });

  test("go on where even the smallest step takes longer", () => {
    const { sizes } = longest(new PromptPace(100), 200, (tokens) => 50 * tokens);
    expect(sizes[1]).toBe(16);
  });

  test("are measured where streams have most of a step's tokens", () => {
    const pace = new PromptPace(100);
    pace.add(planOf([], sequenceOf(512, 0), 512), { ms: 8000 }); // weights came from a disk
    const step = (): number => {
      const streams = Array.from({ length: 32 }, stream);
      const sequence = sequenceOf(10_000, 0);
      const tokens = Math.min(512, pace.tokensBeside([...streams, sequence]));
      pace.add(planOf(streams, sequence, tokens), { ms: 20 + tokens / 10 });
      return tokens;
    };
    expect(step()).toBe(16);
    for (let i = 0; i < 100; i++) step();
    expect(step()).toBeGreaterThan(400);
  });

  test("of one that scores are measured, too", () => {
    const pace = new PromptPace(100);
    const [sequence, streams] = [sequenceOf(1000, 0, "score"), [stream()]];
    pace.add(planOf(streams, sequence, 64), { ms: 10 });
    expect(pace.tokensBeside([...streams, sequence])).toBe(128);
  });

  test("begin with what those far on take, whatever noise says of the first positions", () => {
    const random = new Random(1);
    for (let run = 0; run < 200; run++) {
      const pace = new PromptPace(100);
      for (let i = 0; i < 30; i++) {
        const sequence = sequenceOf(100_000, 60_000 + 128 * i);
        pace.add(planOf([stream()], sequence, 128), { ms: 100 * (0.9 + 0.2 * random.uniform()) });
      }
      const tokens = pace.tokensBeside([stream(), sequenceOf(1000, 0)]);
      expect(tokens).toBeGreaterThan(100);
      expect(tokens).toBeLessThan(160);
    }
  });

  test("begin small, whatever they took without streams: what runs first takes longer", () => {
    const pace = new PromptPace(100);
    pace.add(planOf([], sequenceOf(512, 0), 512), { ms: 100 });
    expect(pace.tokensBeside([stream(), sequenceOf(1000, 0)])).toBe(64);
  });

  test("are not cut where they fit, but for the first steps", () => {
    const { sizes } = longest(new PromptPace(100), 2000, (tokens) => 5 + tokens / 100);
    expect(sizes.slice(1, 5)).toEqual([128, 256, 512, 512]);
  });
});

test("without streams nothing is limited", () => {
  const pace = new PromptPace(100);
  expect(pace.tokensBeside([sequenceOf(5000, 0)])).toBe(Number.POSITIVE_INFINITY);
  expect(pace.tokensBeside([])).toBe(Number.POSITIVE_INFINITY);
  expect(pace.tokensBeside([stream()])).toBe(64); // a prompt may come
});

test("what decoding takes is not counted as a prompt's", () => {
  const pace = new PromptPace(100);
  const streams = Array.from({ length: 8 }, stream);
  const decode = planOf(streams, stream(), 1);
  for (let i = 0; i < 3; i++) pace.add(decode, { ms: 81 });
  pace.add(planOf(streams, sequenceOf(100, 0), 4), { ms: 83 });
  expect(pace.tokensBeside([...streams, sequenceOf(100, 4)])).toBe(38); // 19 ms at 0.5 ms a token
});
