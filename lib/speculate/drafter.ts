import { type Sequence, tokensLeft } from "../schedule/sequence.ts";
import type { Proposer } from "./proposer.ts";

/** Tokens that the draft model may have to compute first for each that the sequence may still get: more would not pay. Chosen. */
const MOST_LACK = 4;

/** Of the tokens that a sequence may still get, so many are counted on: most end before their limit. Chosen. */
const EXPECTED_TOKENS = 256;

/** Has a draft model guess, natively, in the step that checks the guesses: here they are places for them (`StepBuffers.tokens`). */
export class Drafter implements Proposer {
  readonly most: number;
  readonly drafts = true;

  constructor(most: number) {
    this.most = most;
  }

  propose(sequence: Sequence, most: number): number {
    const end = sequence.length + sequence.sampling;
    if (end - sequence.draftComputed > MOST_LACK * Math.min(tokensLeft(sequence), EXPECTED_TOKENS)) return 0;
    for (let i = 0; i < most; i++) sequence.tokens[end + i] = -2 - i;
    return most;
  }

  /** Nothing is kept. */
  ended(): void {}
}
