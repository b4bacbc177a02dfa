import { types } from "node:util";
import { type Chunk, type Moments, type TokenLogprob, timingsOf, type Usage } from "../api/completion.ts";
import { type CheckedParams, choiceSeed } from "../api/params.ts";
import { catchRejection } from "../check.ts";
import { type ErrorCode, KvasirError, show } from "../errors.ts";
import { MAX_TOP_LOGPROBS, type SlotConfig } from "../native/addon.ts";
import type { Sequence } from "../schedule/sequence.ts";
import { Detokenizer } from "../text/output/detokenizer.ts";
import { StopMatcher, type StopPattern } from "../text/output/stop.ts";
import type { Vocabulary } from "../text/tokenizer/vocabulary.ts";
import { NO_NUMBERS, type Sampled, type Sampling } from "./owner.ts";

/** What a request needs to know of its model. */
export interface RequestModel {
  vocabSize: number;
  maxContext: number;
  endTokens: readonly number[];
  /** `undefined`: tokens have no text. */
  vocabulary: Vocabulary | undefined;
  prefixCache: boolean;
}

/** The request of a choice. */
export interface ChoiceOwner {
  readonly model: RequestModel;
  readonly params: CheckedParams;
  readonly prompt: Int32Array;
  /** Tokens that end a choice: of the model's, unless they are ignored, and the caller's. */
  readonly endTokens: ReadonlySet<number>;
  readonly stop: readonly StopPattern[];
  /** When the call was made, or a stream's first `next`, by `performance.now()`. */
  readonly arrived: number;
  /** The choice has something to take. */
  changed(choice: Choice): void;
  /** The choice has ended. */
  finished(): void;
  /** All choices end, for this reason. */
  fail(reason: unknown): void;
}

/** One stream of tokens of a request: its sequence, text and figures. */
export class Choice implements Sampling {
  readonly kind = "sampling";
  readonly request: ChoiceOwner;
  readonly nothingToSample: [ErrorCode, string];
  readonly notNumbers: [ErrorCode, string];
  /** What the context holds, or less. */
  readonly maxTokens: number;
  sequence!: Sequence;
  readonly #index: number;
  readonly #detokenizer: Detokenizer | undefined;
  readonly #stop: StopMatcher;
  readonly #moments: Moments;
  #count = 0;
  #chunk: Chunk;

  constructor(request: ChoiceOwner, index: number) {
    const { model, params, prompt } = request;
    this.request = request;
    this.#index = index;
    this.maxTokens = Math.min(params.maxTokens, model.maxContext - prompt.length);
    const isPlain = params.logitsProcessor === undefined;
    this.nothingToSample = isPlain
      ? ["INVALID_ARGUMENT", "no token is left to choose: logitBias, or minTokens with the tokens that end, bans every one"]
      : ["PROCESSOR_FAILED", "logitsProcessor left no token a finite logit"];
    this.notNumbers = isPlain
      ? NO_NUMBERS
      : ["PROCESSOR_FAILED", "logitsProcessor left NaN or Infinity among the logits; expected numbers, or -Infinity for what is banned"];
    const { vocabulary } = model;
    this.#detokenizer =
      vocabulary && new Detokenizer(vocabulary, { special: false, start: prompt.length === 1 && prompt[0] === vocabulary.bosToken });
    this.#stop = new StopMatcher(request.stop);
    this.#moments = { arrived: request.arrived, firstStep: Number.NaN, firstToken: Number.NaN, lastToken: Number.NaN };
    this.#chunk = this.#emptyChunk();
  }

  slotConfig(sequence: Sequence): SlotConfig {
    const { params, prompt, model } = this.request;
    if (Number.isNaN(this.#moments.firstStep)) this.#moments.firstStep = performance.now();
    const { temperature, topP, minP, typicalP, repetitionPenalty, presencePenalty, frequencyPenalty } = params;
    return {
      temperature,
      topP,
      minP,
      typicalP,
      repetitionPenalty,
      presencePenalty,
      frequencyPenalty,
      biasTokens: params.biasTokens,
      biasValues: params.biasValues,
      seed: choiceSeed(params.seed, this.#index),
      // What exceeds these changes nothing: the native side has smaller bounds than callers.
      topK: Math.min(params.topK, model.vocabSize),
      minTokens: Math.min(params.minTokens, this.maxTokens),
      endTokens: Int32Array.from(this.request.endTokens),
      logprobs: params.logprobs,
      tokens: sequence.tokens.subarray(0, sequence.length),
      promptLength: prompt.length,
    };
  }

  process(logits: Float32Array): Float32Array {
    const context = {
      tokens: this.sequence.tokens.slice(0, this.sequence.length), // its own: pages are found by the sequence's
      promptLength: this.request.prompt.length,
      index: this.#index,
    };
    const { logitsProcessor } = this.request.params; // called without its object, which is not its own
    let changed: unknown;
    try {
      changed = logitsProcessor!(logits, context) ?? logits;
    } catch (cause) {
      throw new KvasirError("PROCESSOR_FAILED", `logitsProcessor threw: ${show(types.isNativeError(cause) ? cause.message : cause)}`, {
        cause,
      });
    }
    catchRejection(changed);
    if (types.isFloat32Array(changed) && changed.length === this.request.model.vocabSize) return changed;
    throw new KvasirError(
      "PROCESSOR_FAILED",
      `logitsProcessor returned ${show(changed)}; expected nothing or a Float32Array of ${this.request.model.vocabSize} logits`,
    );
  }

  accept(sampled: Sampled, now: number): boolean {
    const moments = this.#moments;
    if (this.#count === 0) moments.firstToken = now;
    moments.lastToken = now;
    this.#count += 1;
    const token = sampled.results.sampled[sampled.output]!;
    const { text, finishReason } = this.#read(token);
    const chunk = this.#chunk;
    chunk.text += text;
    chunk.tokens.push(token);
    chunk.logprobs?.push(logprobOf(sampled, this.request.params.logprobs));
    if (finishReason !== undefined) this.#finish(finishReason);
    this.request.changed(this);
    return finishReason !== undefined;
  }

  fail(reason: unknown): void {
    this.request.fail(reason);
  }

  /** What came since the last call. */
  take(): Chunk {
    const chunk = this.#chunk;
    this.#chunk = this.#emptyChunk();
    return chunk;
  }

  /** The text that `token` completes, and whether it ends the choice. Stop strings count that end with token `minTokens` or later. */
  #read(token: number): { text: string; finishReason?: "stop" | "length" } {
    if (this.request.endTokens.has(token)) return { text: this.#flush(), finishReason: "stop" };
    const piece = this.#detokenizer?.push(token) ?? "";
    const { text, stopped } = this.#stop.push(piece, this.#mayStop());
    if (stopped) return { text, finishReason: "stop" };
    if (this.#count >= this.maxTokens) return { text: text + this.#flush(), finishReason: "length" };
    return { text };
  }

  #flush(): string {
    const { text, stopped } = this.#stop.push(this.#detokenizer?.flush() ?? "", this.#mayStop());
    return stopped ? text : text + this.#stop.flush();
  }

  #mayStop(): boolean {
    return this.#count >= this.request.params.minTokens;
  }

  #finish(finishReason: "stop" | "length"): void {
    const promptTokens = this.request.prompt.length;
    const { cachedTokens = 0, guesses } = this.sequence;
    const usage: Usage = {
      promptTokens,
      completionTokens: this.#count,
      cachedTokens,
      totalTokens: promptTokens + this.#count,
      draftedTokens: guesses.guessed,
      acceptedTokens: guesses.right,
    };
    this.#chunk = { ...this.#chunk, finishReason, usage, timings: timingsOf(this.#moments, usage, guesses.rows) };
    this.request.finished();
  }

  #emptyChunk(): Chunk {
    const chunk: Chunk = { index: this.#index, text: "", tokens: [] };
    return this.request.params.logprobs < 0 ? chunk : { ...chunk, logprobs: [] };
  }
}

function logprobOf({ results, output }: Sampled, count: number): TokenLogprob {
  const { sampled, logprobs, topTokens, topLogprobs } = results;
  const top: TokenLogprob["top"] = [];
  const first = output * MAX_TOP_LOGPROBS;
  for (let i = first; i < first + count && topTokens[i]! >= 0; i++) top.push({ token: topTokens[i]!, logprob: topLogprobs[i]! });
  return { token: sampled[output]!, logprob: logprobs[output]!, top };
}
