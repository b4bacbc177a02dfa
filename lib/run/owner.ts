import type { ErrorCode } from "../errors.ts";
import type { SlotConfig, StepResults } from "../native/addon.ts";
import type { Sequence } from "../schedule/sequence.ts";

/** The error of a row for which the model gave no numbers. */
export const NO_NUMBERS: [ErrorCode, string] = [
  "FILE_INVALID",
  "the model's logits hold NaN or Infinity, or none that is finite: its weights are damaged, or too large for the arithmetic of compute",
];

/** Who owns a sequence. The loop tells it, in the order of steps, what the sequence's rows gave. */
export type SequenceOwner = Sampling | Scoring;

interface Owner {
  /** Owners of one request have the same. */
  readonly request: object;
  /** The sequence has got a slot: for the first time, or again after a preemption. */
  slotConfig(sequence: Sequence): SlotConfig;
  /** The sequence cannot go on. Ends the whole request. */
  fail(reason: unknown): void;
}

/** Continues a prompt. */
export interface Sampling extends Owner {
  readonly kind: "sampling";
  /** The error of a row whose logits the caller has made -Infinity, all of them. */
  readonly nothingToSample: [ErrorCode, string];
  /** The error of a row whose logits hold NaN or +Infinity. */
  readonly notNumbers: [ErrorCode, string];
  /** Logits for the processor; returns those to choose from. May throw. */
  process(logits: Float32Array): Float32Array;
  /** A token was sampled at time `now`, and the sequence has it; true: it was the last. */
  accept(sampled: Sampled, now: number): boolean;
}

/** Asks how probable a text is. */
export interface Scoring extends Owner {
  readonly kind: "scoring";
  /** Log-probabilities of the tokens after position `start` and those that follow; true: that was all. */
  score(start: number, logprobs: Float32Array, logits: Float32Array | undefined): boolean;
}

/** One output of {@link StepResults}. Reused: copy what is kept. */
export interface Sampled {
  results: StepResults;
  output: number;
}
