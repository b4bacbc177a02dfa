import { type ErrorCode, KvasirError } from "./errors.ts";
import type { StepLoop, Task } from "./loop.ts";
import type { SlotConfig } from "./native.ts";
import type { Sequence } from "./schedule/sequence.ts";

/** How probable a text's own tokens are. */
export interface Scores {
  tokens: Int32Array;
  /** [T] natural logarithm of token t's probability given those before it; the first is NaN. */
  logprobs: Float32Array;
  /** [T, V], if asked for: row t follows token t. */
  logits?: Float32Array;
}

/** One `score` call: a sequence whose rows give back log-probabilities and of which nothing is sampled. */
export class ScoreTask implements Task {
  readonly request: object = this;
  readonly wantLogits: boolean;
  readonly nothingToSample: [ErrorCode, string] = ["INTERNAL", "a score row sampled"];
  readonly #loop: StepLoop;
  readonly #scores: Scores;
  readonly #vocabSize: number;
  readonly #sequence: Sequence;
  #resolve!: (scores: Scores) => void;
  #reject!: (reason: unknown) => void;
  readonly scores: Promise<Scores> = new Promise((resolve, reject) => {
    this.#resolve = resolve;
    this.#reject = reject;
  });

  constructor(loop: StepLoop, tokens: Int32Array, vocabSize: number, wantLogits: boolean) {
    this.#loop = loop;
    this.#vocabSize = vocabSize;
    this.wantLogits = wantLogits;
    this.#scores = { tokens, logprobs: new Float32Array(tokens.length).fill(Number.NaN) };
    this.#sequence = loop.add({ prompt: tokens, maxTokens: 0, priority: 0, output: "score", cacheSalt: "", adapter: "", media: [] }, this);
  }

  slotConfig(): SlotConfig {
    return NOTHING_SAMPLED;
  }

  process(logits: Float32Array): Float32Array {
    return logits;
  }

  accept(): boolean {
    return false;
  }

  /** `logprobs[t]` is of the token after position start + t; NaN after the last. */
  score(start: number, logprobs: Float32Array, logits: Float32Array | undefined): boolean {
    const total = this.#scores.logprobs.length;
    for (let t = 0; t < logprobs.length && start + t + 1 < total; t++) this.#scores.logprobs[start + t + 1] = logprobs[t]!;
    if (logits !== undefined) {
      this.#scores.logits ??= logitsOf(total, this.#vocabSize);
      this.#scores.logits.set(logits, start * this.#vocabSize);
    }
    if (start + logprobs.length < total) return false;
    this.#resolve(this.#scores);
    return true;
  }

  fail(reason: unknown): void {
    this.#reject(reason);
    this.#loop.cancel(this.#sequence);
  }
}

function logitsOf(rows: number, vocabSize: number): Float32Array {
  try {
    return new Float32Array(rows * vocabSize);
  } catch (cause) {
    throw new KvasirError("OUT_OF_MEMORY", `logits of ${rows} tokens need ${rows * vocabSize * 4} bytes, which could not be had`, {
      cause,
    });
  }
}

const NOTHING_SAMPLED: SlotConfig = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  typicalP: 1,
  repetitionPenalty: 1,
  presencePenalty: 0,
  frequencyPenalty: 0,
  biasTokens: new Int32Array(),
  biasValues: new Float32Array(),
  seed: 0n,
  minTokens: 0,
  endTokens: new Int32Array(),
  logprobs: -1,
  tokens: new Int32Array(),
  promptLength: 0,
};
