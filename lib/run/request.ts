import type { Chunk, Completion } from "../api/completion.ts";
import type { CheckedParams } from "../api/params.ts";
import { type StopPattern, stopPatterns } from "../text/output/stop.ts";
import { onAbort } from "./abort.ts";
import { Choice, type ChoiceOwner, type RequestModel } from "./choice.ts";
import type { StepLoop } from "./loop.ts";

/** One `generate` or `stream` call: `n` choices of one prompt, which end together when one fails. */
export class Request implements ChoiceOwner {
  readonly model: RequestModel;
  readonly params: CheckedParams;
  readonly prompt: Int32Array;
  readonly endTokens: ReadonlySet<number>;
  readonly stop: readonly StopPattern[];
  /** When the call was made, by `performance.now()`. */
  readonly arrived: number;
  readonly #loop: StepLoop;
  readonly #choices: Choice[] = [];
  /** Choices with a chunk that was not taken yet, oldest first. */
  readonly #ready = new Set<Choice>();
  #unfinished = 0;
  #failure: { reason: unknown } | undefined;
  /** Settles the promise of the caller that waits in `#until`, if what it waits for has happened. */
  #notify: () => void = () => {};

  /** Queues the choices. Throws PROMPT_EMPTY or PROMPT_TOO_LONG, as the scheduler finds. */
  constructor(loop: StepLoop, model: RequestModel, params: CheckedParams, prompt: Int32Array, arrived: number) {
    this.#loop = loop;
    this.model = model;
    this.params = params;
    this.prompt = prompt;
    this.endTokens = new Set([...(params.ignoreEos ? [] : model.endTokens), ...params.stopTokens]);
    this.stop = stopPatterns(params.stop);
    this.arrived = arrived;
    params.signal?.throwIfAborted();
    for (let index = 0; index < params.n; index++) this.#choices.push(this.#add(index));
    this.#unfinished = params.n;
    if (params.signal !== undefined) onAbort(params.signal, this.#aborted);
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
        adapter: "",
        media: [],
        speculate: params.speculate,
        ...(first !== undefined && model.prefixCache ? { after: first } : {}),
      },
      choice,
    );
    return choice;
  }

  /** The next chunk; `undefined` after the last. For one caller at a time. */
  async next(): Promise<Chunk | undefined> {
    await this.#until(() => this.#ready.size > 0);
    if (this.#failure !== undefined) throw this.#failure.reason; // it failed in the turn of the event loop that gave a chunk
    const [choice] = this.#ready;
    if (choice === undefined) return undefined;
    this.#ready.delete(choice);
    return choice.take();
  }

  /** All choices, once they have ended. Nobody took chunks before, so that each choice's only chunk is all of it. */
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

  /** Ends what runs; a caller that waits gets no more chunks. */
  abandon(): void {
    this.#ready.clear();
    for (const { sequence } of this.#choices) this.#loop.cancel(sequence);
    this.#unfinished = 0;
    this.params.signal?.removeEventListener("abort", this.#aborted);
    this.#notify();
  }

  /** Ends what runs; a caller that waits is rejected with the reason. */
  fail(reason: unknown): void {
    this.#failure ??= { reason };
    this.abandon();
  }

  readonly #aborted = (): void => this.fail(this.params.signal!.reason);
}
