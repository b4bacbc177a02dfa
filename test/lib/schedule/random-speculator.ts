import { reserveTokens, type Sequence } from "../../../lib/schedule/sequence.ts";
import type { Speculator } from "../../../lib/schedule/speculator.ts";
import { type Random, VOCABULARY } from "./random.ts";

/** Guesses at random, most of it right, for a share of the sequences. */
export class RandomSpeculator implements Speculator {
  readonly #random: Random;
  readonly #share: number;
  /** Prompt and output of a sequence alone. */
  readonly #tokensOf: (sequence: Sequence) => number[];
  readonly #hasDraft: boolean;
  readonly #chosen = new Set<Sequence>();

  constructor(random: Random, share: number, hasDraft: boolean, tokensOf: (sequence: Sequence) => number[]) {
    this.#random = random;
    this.#share = share;
    this.#hasDraft = hasDraft;
    this.#tokensOf = tokensOf;
  }

  prepare(running: readonly Sequence[]): void {
    this.#chosen.clear();
    for (const sequence of running) if (this.#random.chance(this.#share)) this.#chosen.add(sequence);
  }

  guesses(sequence: Sequence): boolean {
    return this.#chosen.has(sequence);
  }

  drafts(sequence: Sequence): boolean {
    return this.#hasDraft && sequence.id % 3 !== 0;
  }

  guess(sequence: Sequence, most: number): number {
    if (!this.#chosen.has(sequence)) return 0;
    const count = Math.min(most, this.#random.below(4));
    const from = sequence.length + sequence.sampling;
    reserveTokens(sequence, sequence.sampling + count);
    for (let i = from; i < from + count; i++) {
      sequence.tokens[i] = this.#random.chance(0.7) ? this.#tokensOf(sequence)[i]! : this.#random.below(VOCABULARY);
    }
    return count;
  }

  settled(sequence: Sequence, guessed: number, right: number): void {
    if (guessed < 1 || right < 0 || right > guessed) throw new Error(`sequence ${sequence.id}: ${right} of ${guessed} were right`);
  }

  ended(sequence: Sequence): void {
    this.#chosen.delete(sequence);
  }
}
