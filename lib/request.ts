import { type Chunk, type Completion, type Moments, type TokenLogprob, timingsOf, type Usage } from "./completion.ts";
import { KvasirError, show } from "./errors.ts";
import type { Sampled, StepLoop, Task } from "./loop.ts";
import type { SlotConfig } from "./native.ts";
import { type CheckedParams, choiceSeed } from "./params.ts";
import type { Sequence } from "./schedule/sequence.ts";
import { Detokenizer } from "./text/detokenizer.ts";
import { StopMatcher } from "./text/stop.ts";
import type { Vocabulary } from "./text/vocabulary.ts";

/** What a request needs to know of its model. */
export interface RequestModel {
  vocabSize: number;
  maxContext: number;
  endTokens: readonly number[];
  /** `undefined`: tokens have no text. */
  vocabulary: Vocabulary | undefined;
  prefixCache: boolean;
}

/** One `generate` or `stream` call: `n` choices of one prompt, which end together when one fails. */
export class Request {
  readonly model: RequestModel;
  readonly params: CheckedParams;
  readonly prompt: Int32Array;
  /** When the call was made, by `performance.now()`. */
  readonly arrived: number;
  readonly #loop: StepLoop;
  readonly #choices: Choice[] = [];
  /** Choices with a chunk that was not taken yet, oldest first. */
  readonly #ready = new Set<Choice>();
  #unfinished = 0;
  #failure: { reason: unknown } | undefined;
  /** Looks again whether who waits may go on. */
  #notify: () => void = () => {};

  /** Queues the choices. Throws PROMPT_EMPTY and PROMPT_TOO_LONG. */
  constructor(loop: StepLoop, model: RequestModel, params: CheckedParams, prompt: Int32Array, arrived: number) {
    this.#loop = loop;
    this.model = model;
    this.params = params;
    this.prompt = prompt;
    this.arrived = arrived;
    checkPrompt(prompt, model.maxContext - 1, `${model.maxContext} tokens, one of them sampled`);
    params.signal?.throwIfAborted();
    for (let index = 0; index < params.n; index++) this.#choices.push(this.#add(index));
    this.#unfinished = params.n;
    params.signal?.addEventListener("abort", this.#aborted);
  }

  #add(index: number): Choice {
    const { params, prompt, model } = this;
    const choice = new Choice(this, index);
    const first = this.#choices[0]?.sequence;
    choice.sequence = this.#loop.add(
      {
        prompt,
        maxTokens: choice.maxTokens,
        priority: params.priority,
        output: params.logitsProcessor === undefined ? "sample" : "logits",
        cacheSalt: params.cacheSalt,
        ...(first !== undefined && model.prefixCache ? { after: first } : {}),
      },
      choice,
    );
    return choice;
  }

  /** The next chunk; `undefined` after the last. For one caller at a time. */
  async next(): Promise<Chunk | undefined> {
    await this.#until(() => this.#ready.size > 0);
    const [choice] = this.#ready;
    if (choice === undefined) return undefined;
    this.#ready.delete(choice);
    return choice.take();
  }

  /** All choices, once they have ended: each is its one chunk that nobody took. */
  async completion(): Promise<Completion> {
    await this.#until(() => false);
    const choices = this.#choices.map((choice) => choice.take() as Omit<Completion, "choices">);
    return { ...choices[0]!, choices };
  }

  /** Waits until the request has ended or `ready` says so; throws why the request failed. */
  #until(ready: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#notify = () => {
        if (this.#failure !== undefined) reject(this.#failure.reason);
        else if (this.#unfinished === 0 || ready()) resolve();
      };
      this.#notify();
    });
  }

  /** A choice has something to take. */
  changed(choice: Choice): void {
    this.#ready.add(choice);
    this.#notify();
  }

  /** A choice has ended. */
  finished(): void {
    this.#unfinished -= 1;
    if (this.#unfinished > 0) return;
    this.params.signal?.removeEventListener("abort", this.#aborted);
    this.#notify();
  }

  /** Ends what runs; who waits gets no more chunks. */
  abandon(): void {
    this.#ready.clear();
    for (const { sequence } of this.#choices) this.#loop.cancel(sequence);
    this.#unfinished = 0;
    this.params.signal?.removeEventListener("abort", this.#aborted);
    this.#notify();
  }

  /** Ends what runs; who waits is rejected with the reason. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.abandon();
  }

  readonly #aborted = (): void => this.fail(this.params.signal!.reason);
}

/** One stream of tokens of a request: its sequence, text and figures. */
class Choice implements Task {
  readonly request: Request;
  readonly wantLogits = false;
  /** What the context holds, or less. */
  readonly maxTokens: number;
  sequence!: Sequence;
  readonly #index: number;
  readonly #endTokens: Set<number>;
  readonly #detokenizer: Detokenizer | undefined;
  readonly #stop: StopMatcher;
  readonly #moments: Moments;
  #count = 0;
  #chunk: Chunk;

  constructor(request: Request, index: number) {
    const { model, params, prompt } = request;
    this.request = request;
    this.#index = index;
    this.maxTokens = Math.min(params.maxTokens, model.maxContext - prompt.length);
    this.#endTokens = new Set([...(params.ignoreEos ? [] : model.endTokens), ...params.stopTokens]);
    const { vocabulary } = model;
    this.#detokenizer = vocabulary && new Detokenizer(vocabulary, { special: false, start: prompt.length === 1 && prompt[0] === vocabulary.bosToken });
    this.#stop = new StopMatcher(params.stop);
    this.#moments = { arrived: request.arrived, firstStep: Number.NaN, firstToken: Number.NaN, lastToken: Number.NaN };
    this.#chunk = this.#emptyChunk();
  }

  slotConfig(sequence: Sequence): SlotConfig {
    const { params, prompt } = this.request;
    if (Number.isNaN(this.#moments.firstStep)) this.#moments.firstStep = performance.now();
    const { temperature, topK, topP, minP, typicalP, repetitionPenalty, presencePenalty, frequencyPenalty } = params;
    return {
      ...{ temperature, topK, topP, minP, typicalP, repetitionPenalty, presencePenalty, frequencyPenalty },
      biasTokens: params.biasTokens,
      biasValues: params.biasValues,
      seed: choiceSeed(params.seed, this.#index),
      minTokens: params.minTokens,
      endTokens: Int32Array.from(this.#endTokens),
      logprobs: params.logprobs,
      tokens: sequence.tokens.subarray(0, sequence.length),
      promptLength: prompt.length,
    };
  }

  process(logits: Float32Array): Float32Array {
    const context = { tokens: this.sequence.tokens.subarray(0, this.sequence.length), promptLength: this.request.prompt.length, index: this.#index };
    let changed: unknown;
    try {
      changed = this.request.params.logitsProcessor!(logits, context) ?? logits;
    } catch (cause) {
      throw new KvasirError("PROCESSOR_FAILED", `logitsProcessor threw: ${show(cause instanceof Error ? cause.message : cause)}`, { cause });
    }
    if (changed instanceof Float32Array && changed.length === this.request.model.vocabSize) return changed;
    throw new KvasirError("PROCESSOR_FAILED", `logitsProcessor returned ${show(changed)}; nothing or a Float32Array of ${this.request.model.vocabSize} is right`);
  }

  accept(sampled: Sampled, now: number): boolean {
    const moments = this.#moments;
    if (this.#count === 0) moments.firstToken = now;
    moments.lastToken = now;
    this.#count += 1;
    const { text, finishReason } = this.#read(sampled.token);
    const chunk = this.#chunk;
    chunk.text += text;
    chunk.tokens.push(sampled.token);
    chunk.logprobs?.push(logprobOf(sampled, this.request.params.logprobs));
    if (finishReason !== undefined) this.#finish(finishReason);
    this.request.changed(this);
    return finishReason !== undefined;
  }

  score(): boolean {
    return false;
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

  /** The text that `token` completes, and whether it ends the choice. Stop strings count from `minTokens` on. */
  #read(token: number): { text: string; finishReason?: "stop" | "length" } {
    if (this.#endTokens.has(token)) return { text: this.#flush(), finishReason: "stop" };
    const piece = this.#detokenizer?.push(token) ?? "";
    const { text, stopped } = this.#count < this.request.params.minTokens ? { text: piece, stopped: false } : this.#stop.push(piece);
    if (stopped) return { text, finishReason: "stop" };
    if (this.#count >= this.maxTokens) return { text: text + this.#flush(), finishReason: "length" };
    return { text };
  }

  #flush(): string {
    const { text, stopped } = this.#stop.push(this.#detokenizer?.flush() ?? "");
    return stopped ? text : text + this.#stop.flush();
  }

  #finish(finishReason: "stop" | "length"): void {
    const promptTokens = this.request.prompt.length;
    const cachedTokens = this.sequence.cachedTokens ?? 0;
    const usage: Usage = { promptTokens, completionTokens: this.#count, cachedTokens, totalTokens: promptTokens + this.#count };
    this.#chunk.finishReason = finishReason;
    this.#chunk.usage = usage;
    this.#chunk.timings = timingsOf(this.#moments, usage);
    this.request.finished();
  }

  #emptyChunk(): Chunk {
    const chunk: Chunk = { index: this.#index, text: "", tokens: [] };
    return this.request.params.logprobs < 0 ? chunk : { ...chunk, logprobs: [] };
  }
}

/** Throws PROMPT_EMPTY and PROMPT_TOO_LONG. */
export function checkPrompt(tokens: Int32Array, most: number, what: string): void {
  if (tokens.length === 0) throw new KvasirError("PROMPT_EMPTY", "the prompt has no token, and this model's tokenizer adds none; at least one is right");
  if (tokens.length > most) {
    throw new KvasirError("PROMPT_TOO_LONG", `the prompt has ${tokens.length} tokens; at most ${most} fit (${what})`);
  }
}

function logprobOf({ token, logprob, topTokens, topLogprobs, offset }: Sampled, count: number): TokenLogprob {
  const top: TokenLogprob["top"] = [];
  for (let i = offset; i < offset + count && topTokens[i]! >= 0; i++) top.push({ token: topTokens[i]!, logprob: topLogprobs[i]! });
  return { token, logprob, top };
}
