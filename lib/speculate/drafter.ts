import type { Sequence } from "../schedule/sequence.ts";
import type { Proposer } from "./proposer.ts";

/** Has a draft model guess, natively, in the step that checks the guesses: here they are places for them (`StepBuffers.tokens`). */
export class Drafter implements Proposer {
  readonly most: number;
  readonly drafts = true;

  constructor(most: number) {
    this.most = most;
  }

  propose(sequence: Sequence, most: number): number {
    const end = sequence.length + sequence.sampling;
    for (let i = 0; i < most; i++) sequence.tokens[end + i] = -2 - i;
    return most;
  }

  /** All but the last, whose pass gives the first guess. */
  lack({ length, sampling, draftComputed }: Sequence): number {
    return Math.max(0, length + sampling - 1 - draftComputed);
  }

  /** Nothing is kept. */
  ended(): void {}
}
