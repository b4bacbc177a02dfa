import { createSequence, reserveTokens, type Sequence } from "../../../lib/schedule/sequence.ts";
import type { Proposer } from "../../../lib/speculate/proposer.ts";

/** A sequence that runs, with all of its prompt computed but the last token. */
export function sequenceOf(prompt: readonly number[], output: readonly number[] = [], cacheSalt = ""): Sequence {
  const options = { prompt: Int32Array.from(prompt), maxTokens: 1000, priority: 0, output: "sample" as const, cacheSalt };
  const sequence = createSequence({ ...options, adapter: "", media: [], speculate: true }, 0, 1);
  sequence.state = "running";
  extend(sequence, output);
  return sequence;
}

/** The sequence gets tokens. */
export function extend(sequence: Sequence, tokens: readonly number[]): void {
  reserveTokens(sequence, tokens.length);
  for (const token of tokens) sequence.tokens[sequence.length++] = token;
  sequence.computed = sequence.length - 1;
}

/** What is guessed of the tokens that follow those known or on their way. */
export function proposalOf(proposer: Proposer, sequence: Sequence, most = proposer.most): number[] {
  const end = sequence.length + sequence.sampling;
  reserveTokens(sequence, sequence.sampling + most);
  return [...sequence.tokens.subarray(end, end + proposer.propose(sequence, most))];
}
