import type { Sequence } from "../schedule/sequence.ts";

/** A way of guessing what follows a sequence's tokens: by what the text has had before, or by a smaller model. */
export interface Proposer {
  /** Most tokens that it guesses at once. */
  readonly most: number;
  /** The draft model makes the guesses, in the step that checks them. */
  readonly drafts: boolean;
  /**
   * Writes at most `most` guesses behind the sequence's tokens that are known or on their way, where there is room for them, and returns how
   * many; 0 where it knows nothing. Called once for each step that the sequence may guess in; the guesses need not be used.
   */
  propose(sequence: Sequence, most: number): number;
  /** Tokens of the sequence that the draft model has to compute before it can guess; 0 where there is no such model. */
  lack(sequence: Sequence): number;
  /** The sequence has ended: its tokens are complete, and nothing is kept for it. */
  ended(sequence: Sequence): void;
}
