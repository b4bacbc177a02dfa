import { describe, expect, test } from "vitest";
import { Lookup } from "../../../lib/speculate/lookup.ts";
import { Random } from "../schedule/random.ts";
import { extend, proposalOf, sequenceOf } from "./support.ts";

describe("a sequence's own tokens", () => {
  test("what followed the last three tokens before follows again, prompt or output", () => {
    const lookup = new Lookup(4);
    const sequence = sequenceOf([1, 2, 3, 4, 5, 6, 7, 8], [9, 2, 3]);
    expect(proposalOf(lookup, sequence)).toEqual([]);
    extend(sequence, [4]);
    expect(proposalOf(lookup, sequence)).toEqual([5, 6, 7, 8]);
    expect(proposalOf(lookup, sequence, 2)).toEqual([5, 6]);
    extend(sequence, [5, 6, 7, 8]);
    expect(proposalOf(lookup, sequence)).toEqual([9, 2, 3, 4]);
  });

  test("fewer than three are no match, nor is what nothing follows", () => {
    const lookup = new Lookup(4);
    expect(proposalOf(lookup, sequenceOf([7, 7]))).toEqual([]);
    expect(proposalOf(lookup, sequenceOf([1, 2, 3]))).toEqual([]);
  });

  test("of several places the one that is most like the end counts, and of equal ones the latest", () => {
    const sequence = sequenceOf([9, 1, 2, 3, 50, 8, 1, 2, 3, 60, 8, 1, 2, 3, 61, 4, 9, 1, 2, 3]);
    expect(proposalOf(new Lookup(1), sequence)).toEqual([50]);
    extend(sequence, [5, 8, 1, 2, 3]);
    expect(proposalOf(new Lookup(1), sequence)).toEqual([61]);
  });

  test("a token that is on its way is taken for what the match says", () => {
    const sequence = sequenceOf([1, 2, 3, 4, 5, 6, 7], [1, 2, 3]);
    sequence.sampling = 1;
    expect(proposalOf(new Lookup(3), sequence)).toEqual([5, 6, 7]);
    expect(sequence.length).toBe(10);
  });

  test("a text that repeats goes on repeating", () => {
    expect(proposalOf(new Lookup(8), sequenceOf([5, 1, 2, 1, 2, 1, 2]))).toEqual([1, 2, 1, 2, 1, 2, 1, 2]);
  });

  test("finds what a search through all finds, at any length", () => {
    const random = new Random(4);
    const lookup = new Lookup(1);
    const sequence = sequenceOf([0]);
    for (let i = 0; i < 2000; i++) {
      extend(sequence, [random.below(3)]);
      const all = [...sequence.tokens.subarray(0, sequence.length)];
      const seen = Array.from({ length: all.length - 3 }, (_, p) => p + 3).filter((p) => isEqual(all, p, all.length));
      expect(proposalOf(lookup, sequence).length).toBe(seen.length > 0 ? 1 : 0);
    }
  });
});

function isEqual(tokens: number[], a: number, b: number): boolean {
  return [1, 2, 3].every((back) => tokens[a - back] === tokens[b - back]);
}

describe("what was generated before", () => {
  test("is found by others of the same salt, from the first token on; prompts are not", () => {
    const lookup = new Lookup(4);
    lookup.ended(sequenceOf([20, 21, 22, 1, 2, 3], [4, 5, 6]));
    expect(proposalOf(lookup, sequenceOf([30, 1, 2, 3]))).toEqual([4, 5, 6]);
    expect(proposalOf(lookup, sequenceOf([30, 20, 21, 22]))).toEqual([]);
    expect(proposalOf(lookup, sequenceOf([30, 1, 2, 3], [], "another"))).toEqual([]);
  });

  test("ends where the text ended, and the sequence's own tokens count where they are as much like", () => {
    const lookup = new Lookup(4);
    lookup.ended(sequenceOf([9, 1, 2, 3], [4]));
    lookup.ended(sequenceOf([9], [8, 8, 8]));
    expect(proposalOf(lookup, sequenceOf([5, 1, 2, 3]))).toEqual([4]);
    expect(proposalOf(lookup, sequenceOf([6, 1, 2, 3, 7, 5, 1, 2, 3]))).toEqual([7, 5, 1, 2]);
  });

  test("is bounded: the older half is forgotten, and so is the salt that was used least lately", () => {
    const lookup = new Lookup(2);
    const textOf = (i: number): number[] => Array.from({ length: 1000 }, (_, t) => i * 1000 + t);
    for (let i = 0; i < 80; i++) lookup.ended(sequenceOf([1, 2, 3], textOf(i)));
    const found = (i: number): number => proposalOf(lookup, sequenceOf(textOf(i).slice(500, 510))).length;
    expect([found(79), found(60), found(3)]).toEqual([2, 2, 0]);
    for (let salt = 0; salt < 16; salt++) lookup.ended(sequenceOf([1, 2, 3], [4], `salt ${salt}`));
    expect(found(79)).toBe(0);
    expect(proposalOf(lookup, sequenceOf([1, 2, 3], [], "salt 0"))).toEqual([4]);
    lookup.ended(sequenceOf([1, 2, 3], Array.from({ length: 100_000 }, (_, i) => i), "salt 0")); // biome-ignore format: a line
    expect(proposalOf(lookup, sequenceOf([99_990, 99_991, 99_992], [], "salt 0"))).toEqual([99_993, 99_994]);
  });
});

test("a prompt of 100,000 tokens is indexed in milliseconds", () => {
  const random = new Random(1);
  const sequence = sequenceOf(Array.from({ length: 100_000 }, () => random.below(5000)));
  const start = performance.now();
  proposalOf(new Lookup(8), sequence);
  expect(performance.now() - start).toBeLessThan(200); // some 5 ms alone
});
