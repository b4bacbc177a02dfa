import { counted } from "../errors.ts";
import { PLAIN_SLOT, type SlotConfig } from "../native/addon.ts";
import { floats } from "../native/batch.ts";
import type { Sequence } from "../schedule/sequence.ts";
import type { StepLoop } from "./loop.ts";
import type { Scoring } from "./owner.ts";

/** How probable a text's own tokens are. */
export interface Scores {
  tokens: Int32Array;
  /** [T] natural logarithm of token t's probability given those before it; the first is NaN. */
  logprobs: Float32Array;
  /** [T, V], if asked for: row t follows token t. */
  logits?: Float32Array;
}

/** One `score` call: a sequence whose rows give back log-probabilities and of which nothing is sampled. */
export class Score implements Scoring {
  readonly kind = "scoring";
  readonly request: object = this;
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

  /** Throws OUT_OF_MEMORY where there is no room for the logits, and what the scheduler refuses. */
  constructor(loop: StepLoop, tokens: Int32Array, vocabSize: number, wantLogits: boolean) {
    this.#loop = loop;
    this.#vocabSize = vocabSize;
    this.#scores = { tokens, logprobs: new Float32Array(tokens.length).fill(Number.NaN) };
    if (wantLogits) this.#scores.logits = floats(tokens.length * vocabSize, `logits of ${counted(tokens.length, "token")}`);
    const plain = { maxTokens: 0, priority: 0, cacheSalt: "", adapter: "", media: [], speculate: false };
    this.#sequence = loop.add({ prompt: tokens, output: "score", logits: wantLogits, ...plain }, this);
  }

  slotConfig(): SlotConfig {
    return PLAIN_SLOT;
  }

  /** `logprobs[t]` is of the token after position start + t; NaN after the last. */
  score(start: number, logprobs: Float32Array, logits: Float32Array | undefined): boolean {
    const total = this.#scores.logprobs.length;
    for (let t = 0; t < logprobs.length && start + t + 1 < total; t++) this.#scores.logprobs[start + t + 1] = logprobs[t]!;
    if (logits !== undefined) this.#scores.logits!.set(logits, start * this.#vocabSize);
    if (start + logprobs.length < total) return false;
    this.#resolve(this.#scores);
    return true;
  }

  fail(reason: unknown): void {
    this.#reject(reason);
    this.#loop.cancel(this.#sequence);
  }
}
