import type { Sequence } from "./sequence.ts";

/**
 * Guesses what follows the tokens of sequences, so that a row runs several at once. A guess changes how many tokens a step gives, never
 * which. The scheduler asks in this order, and only about sequences whose options allow it:
 *
 *     prepare   a step is about to be planned, and no row that guessed is under way
 *     guess     the sequence's row of this step is planned
 *     settled   what a row that guessed gave is known
 *     ended     the sequence has ended
 */
export interface Speculator {
  /** Decides how far each sequence guesses from now on, until it is called again. `running` are all that run, by rank. */
  prepare(running: readonly Sequence[]): void;
  /** Whether the sequence guesses, as far as `prepare` said: then it waits while others' guesses are under way, so that all run together. */
  guesses(sequence: Sequence): boolean;
  /** Whether its guesses are the draft model's, which makes them in the step that checks them. */
  drafts(sequence: Sequence): boolean;
  /** Writes at most `most` guesses behind the tokens that are known or on their way, and returns how many. */
  guess(sequence: Sequence, most: number): number;
  /** Of `guessed` tokens, the first `right` were right. */
  settled(sequence: Sequence, guessed: number, right: number): void;
  /** Forgets the sequence; its tokens are complete. */
  ended(sequence: Sequence): void;
}
