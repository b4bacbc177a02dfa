import type { Chunk, Completion } from "./api/completion.ts";
import type { EngineOptions } from "./api/options.ts";
import { type CheckedParams, checkParams, type GenerateParams } from "./api/params.ts";
import { cacheGroupsOf, MAX_SLOTS, PAGE_SIZE } from "./api/pools.ts";
import type { EngineStats } from "./api/stats.ts";
import { checkBoolean, checkKeys, checkSignal, checkTokens, invalid, isArray } from "./check.ts";
import { counted, KvasirError } from "./errors.ts";
import { bytesOfWeights } from "./model/manifest.ts";
import { native } from "./native/addon.ts";
import { mostLogitRows } from "./native/batch.ts";
import { untilAborted } from "./run/abort.ts";
import type { RequestModel } from "./run/choice.ts";
import { closeWhenDropped, forgetDropped } from "./run/dropped.ts";
import { GuessMeter } from "./run/guess-meter.ts";
import { StepLoop } from "./run/loop.ts";
import { type EngineParts, openParts } from "./run/parts.ts";
import { PromptPace } from "./run/prompt-pace.ts";
import { Request } from "./run/request.ts";
import { Score } from "./run/score.ts";
import { createSpeculation } from "./run/speculate.ts";
import { statsOf } from "./run/stats.ts";
import { ChunkStream } from "./run/stream.ts";
import { encodeText, type TextTokenizer } from "./run/text.ts";
import { Scheduler } from "./schedule/scheduler.ts";
import type { Speculation } from "./speculate/speculation.ts";
import type { Chat, RenderedChat } from "./text/chat/messages.ts";
import { type ChatPrompt, type ChatRenderer, renderChat, renderText } from "./text/chat/prompt.ts";
import type { EncodeOptions } from "./text/tokenizer/codec.ts";

/**
 * What to continue: text, token ids (used as they are), or a conversation for the model's chat template.
 *
 * @category Requests
 */
export type Prompt = string | Int32Array | readonly number[] | Chat;

/** A call as it was made, whatever becomes of its arguments: checked params, and ids or what becomes ids. */
interface GivenCall {
  params: CheckedParams;
  prompt: GivenPrompt;
}

type GivenPrompt = Int32Array | string | RenderedChat;

/** Makes an engine of parts that are open; for tests. @internal */
export let createEngine: (parts: EngineParts) => Engine;

/**
 * One model, loaded: many calls at once share its steps.
 *
 * ```ts
 * await using engine = await Engine.open("tales");
 * for await (const { text } of engine.stream("Once upon a time")) process.stdout.write(text);
 * ```
 *
 * @category Engine
 */
export class Engine {
  readonly #parts: EngineParts;
  readonly #scheduler: Scheduler;
  readonly #loop: StepLoop;
  readonly #model: RequestModel;
  readonly #speculation: Speculation | undefined;
  readonly #close: () => Promise<void>;
  #closed: Promise<void> | undefined;

  static {
    createEngine = (parts) => new Engine(parts);
  }

  private constructor(parts: EngineParts) {
    const { source, draft, options, tokenizer } = parts;
    const { maxBatchTokens, maxStepMs, maxContext, prefixCache, pages } = options;
    const owned = cacheGroupsOf(source, draft);
    const groups = owned.map(({ kind, window, draft }, g) => ({ kind, window, draft, pages: pages[g]! }));
    this.#parts = parts;
    const draftShare = draft === undefined ? 0 : bytesOfWeights(draft) / bytesOfWeights(source);
    const guessing = options.speculate && createSpeculation(options.speculate, { draftShare, maxBatchTokens }, parts.trial);
    const sizes = { maxBatchTokens, maxContext, prefixCache, groups, pageSize: PAGE_SIZE, maxSlots: MAX_SLOTS };
    const { vocabSize } = source.spec;
    const logitRows = mostLogitRows(vocabSize);
    this.#scheduler = new Scheduler({ ...sizes, logitRows, modelId: source.name }, guessing?.speculation);
    this.#speculation = guessing?.speculation;
    const limits = { maxBatchTokens, maxSlots: MAX_SLOTS, groups: groups.length, vocabSize };
    const meters = guessing ? [new GuessMeter(guessing.cost, guessing.governor)] : [];
    this.#loop = new StepLoop(parts.native, this.#scheduler, limits, new PromptPace(maxStepMs), meters);
    const vocabulary = tokenizer?.vocabulary;
    const endTokens = [...source.endTokens, ...(vocabulary?.endTokens ?? []).filter((token) => token < vocabSize)];
    this.#model = { vocabSize, maxContext, endTokens, vocabulary, prefixCache };
    this.#close = closerOf(this.#loop, tokenizer);
    closeWhenDropped(this, `the engine of ${source.name}`, this.#close);
  }

  /**
   * Loads a model: `"tales"`, which comes with kvasir, a Hugging Face directory, a `.gguf` file, or a directory with one of these. Paths are
   * relative to the working directory. A model without a tokenizer takes token ids only.
   *
   * What is no path is a name on the Hugging Face hub: `"Qwen/Qwen3-0.6B"`, with a branch, tag or commit `"ORG/NAME@REVISION"`, with a
   * quantization or a file's path `"ORG/NAME:Q8_0"` (by default a repository's safetensors, else the .gguf that loses little and fits the
   * memory); `hf:ORG/NAME` where there is such a path, too. What is missing is downloaded into Hugging Face's cache; the environment
   * variables `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`, `HF_ENDPOINT` and `HF_HUB_OFFLINE` mean what they mean to its own library.
   */
  static async open(model: string, options?: EngineOptions): Promise<Engine> {
    return new Engine(await openParts(model, options, native()));
  }

  /** Continues the prompt and resolves when all choices have ended. */
  async generate(prompt: Prompt, params?: GenerateParams): Promise<Completion> {
    const arrived = performance.now();
    const request = await this.#start(await this.#read(prompt, params), arrived);
    return await request.completion(); // this frame keeps the engine from being collected meanwhile
  }

  /** Continues the prompt, chunk by chunk. The request starts with the first `next` and ends when the loop is left. */
  stream(prompt: Prompt, params?: GenerateParams): AsyncIterableIterator<Chunk, undefined> {
    const call = this.#read(prompt, params);
    call.catch(() => {}); // seen with the first `next`
    return new ChunkStream(async () => {
      const arrived = performance.now();
      return this.#start(await call, arrived);
    });
  }

  /** Token ids of a text. `addSpecial` (true) adds what the tokenizer adds to a prompt, such as BOS; `parseSpecial` (true) parses special tokens. */
  async tokenize(text: string, options?: EncodeOptions): Promise<Int32Array> {
    return await encodeText(this.#tokenizer("text"), text, options);
  }

  /** The raw text of token ids, special tokens kept, so that `detokenize(tokenize(text))` is the text. */
  async detokenize(tokens: Int32Array | readonly number[]): Promise<string> {
    return await this.#tokenizer("the text of tokens").detokenize(checkTokens("tokens", tokens, this.#model.vocabSize));
  }

  /** A conversation as the model is given it, as text and as ids. */
  async renderChat(chat: Chat): Promise<ChatPrompt> {
    return await renderChat("chat", chat, this.#renderer());
  }

  /**
   * Log-probabilities of a text's own tokens: `logprobs[t]` is token t's given those before it, `logprobs[0]` is NaN. With `logits`,
   * the raw logits [T, V], too, row t of which follows token t. Nothing is added to token ids.
   */
  async score(
    prompt: string | Int32Array | readonly number[],
    options?: { logits?: boolean; signal?: AbortSignal },
  ): Promise<{ tokens: Int32Array; logprobs: Float32Array; logits?: Float32Array }> {
    const given = checkKeys<{ logits: boolean; signal: AbortSignal }>("options", options, ["logits", "signal"]);
    const logits = checkBoolean("logits", given.logits ?? false);
    const signal = given.signal === undefined ? undefined : checkSignal("signal", given.signal);
    const tokens = await this.#encode(this.#readPrompt(prompt), true, signal);
    const task = new Score(this.#loop, tokens, this.#model.vocabSize, logits);
    try {
      return await untilAborted(task.scores, signal);
    } catch (error) {
      task.fail(error);
      throw error;
    }
  }

  /** What the engine is and does at the moment. */
  stats(): EngineStats {
    return statsOf(this.#parts, this.#loop.stats(), this.#scheduler.stats(), this.#speculation?.counts);
  }

  /**
   * Rejects all requests with CLOSED, waits until nothing runs and frees everything. On the CPU what runs ends at the next layer or slice of
   * logits; a GPU does what it was given, two steps at most.
   */
  close(): Promise<void> {
    forgetDropped(this);
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** {@link close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Reads a call's arguments before it returns. */
  async #read(prompt: Prompt, given: GenerateParams | undefined): Promise<GivenCall> {
    const params = checkParams(given, this.#parts.source.defaults, this.#model.vocabSize);
    if (params.stop.length > 0) this.#tokenizer("stop");
    return { params, prompt: this.#readPrompt(prompt) };
  }

  #readPrompt(prompt: unknown): GivenPrompt {
    this.#loop.check();
    if (typeof prompt === "string") return prompt;
    if (typeof prompt !== "object" || prompt === null) throw invalid("prompt", prompt, PROMPTS);
    const { vocabSize, maxContext } = this.#model;
    if (isArray("prompt", prompt)) return checkTokens("prompt", prompt, vocabSize, (count) => checkPromptLength(count, maxContext));
    if (ArrayBuffer.isView(prompt)) throw invalid("prompt", prompt, PROMPTS);
    return renderText("prompt", prompt, this.#renderer());
  }

  async #start({ params, prompt }: GivenCall, arrived: number): Promise<Request> {
    const tokens = await this.#encode(prompt, params.parseSpecial, params.signal);
    return new Request(this.#loop, this.#model, params, tokens, arrived);
  }

  async #encode(prompt: GivenPrompt, parseSpecial: boolean, signal: AbortSignal | undefined): Promise<Int32Array> {
    this.#loop.check();
    const limits = { maxTokens: this.#model.maxContext, ...(signal !== undefined && { signal }) };
    if (typeof prompt === "string") {
      return this.#known(await this.#tokenizer("a text prompt").encode(prompt, { addSpecial: true, parseSpecial, ...limits }));
    }
    return "written" in prompt ? this.#known(await this.#tokenizer("messages").encodeChat(prompt, limits)) : prompt;
  }

  #renderer(): ChatRenderer {
    return { name: this.#parts.source.name, tokenizer: this.#tokenizer("messages"), template: this.#parts.chat };
  }

  /** A tokenizer may know more tokens than the model has embeddings. */
  #known(tokens: Int32Array): Int32Array {
    const { vocabSize } = this.#model;
    const unknown = tokens.find((token) => token < 0 || token >= vocabSize);
    if (unknown === undefined) return tokens;
    throw new KvasirError(
      "INVALID_ARGUMENT",
      `the prompt has token ${unknown}, which the model lacks; expected ids from 0 to ${vocabSize - 1}`,
    );
  }

  #tokenizer(what: string): TextTokenizer {
    this.#loop.check();
    if (this.#parts.tokenizer !== undefined) return this.#parts.tokenizer;
    throw new KvasirError(
      "NO_TOKENIZER",
      `${what} needs a tokenizer, and model ${this.#parts.source.name} came without one; expected token ids`,
    );
  }
}

const PROMPTS = "text, an array or Int32Array of token ids, or { messages }";

/** Outside the class: what closes an engine that was dropped must not refer to it. */
function closerOf(loop: StepLoop, tokenizer: TextTokenizer | undefined): () => Promise<void> {
  return async () => {
    await Promise.all([loop.close(), tokenizer?.close()]);
  };
}

/** Before they are read: there may be far more. */
function checkPromptLength(count: number, maxContext: number): void {
  if (count > maxContext) {
    throw new KvasirError(
      "PROMPT_TOO_LONG",
      `the prompt has ${counted(count, "token")}; expected at most ${maxContext} with what is generated, which the context holds`,
    );
  }
}
