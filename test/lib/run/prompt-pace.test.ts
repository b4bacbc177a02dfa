import { describe, expect, test } from "vitest";
import { PromptPace } from "../../../lib/run/prompt-pace.ts";
import { addRow, createPlan, type Plan } from "../../../lib/schedule/plan.ts";
import { createSequence, type Sequence } from "../../../lib/schedule/sequence.ts";

/** A sequence with a prompt of `length` tokens, `computed` of which have run; one that streams has run all of them, and sampled. */
function sequenceOf(length: number, computed: number): Sequence {
  const options = { prompt: new Int32Array(length), maxTokens: 10, output: "sample", priority: 0, speculate: false } as const;
  const sequence = createSequence({ ...options, media: [], adapter: "", cacheSalt: "" }, 0, 1);
  sequence.computed = computed;
  return sequence;
}

function stream(): Sequence {
  const sequence = sequenceOf(4, 0);
  addRow(createPlan(), sequence, 4);
  return sequence;
}

function planOf(sequence: Sequence, tokens: number): Plan {
  const plan = createPlan();
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
    const plan = planOf(sequence, tokens);
    pace.add(plan, { ms: took });
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

  test("are not cut where they fit", () => {
    const { sizes } = longest(new PromptPace(100), 2000, (tokens) => 5 + tokens / 100);
    expect(sizes.slice(1, 4)).toEqual([512, 512, 512]);
  });
});

test("without streams nothing is limited", () => {
  const pace = new PromptPace(100);
  expect(pace.tokensBeside([sequenceOf(5000, 0)])).toBe(Number.POSITIVE_INFINITY);
  expect(pace.tokensBeside([])).toBe(Number.POSITIVE_INFINITY);
  expect(pace.tokensBeside([stream()])).toBe(64); // a prompt may come
});

test("steps that mostly decode say nothing of prompts", () => {
  const pace = new PromptPace(100);
  const plan = createPlan();
  for (let i = 0; i < 8; i++) addRow(plan, sequenceOf(5, 4), 1);
  addRow(plan, sequenceOf(100, 0), 4);
  pace.add(plan, { ms: 1e6 });
  expect(pace.tokensBeside([stream(), sequenceOf(100, 4)])).toBe(64);
});
