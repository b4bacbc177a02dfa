import {
  MAX_TOP_LOGPROBS,
  type NativeConfig,
  type NativeEngine,
  type NativeInfo,
  ROW_OUTPUT,
  type SampledToken,
  type SlotConfig,
  type StepBuffers,
  type StepOutput,
} from "../../lib/native/addon.ts";

/** Logits of a made-up model: a hash of all tokens so far, or certainty of what `script` says follows them. */
export type FakeModel = { vocabSize: number; script?: (tokens: readonly number[]) => number };

export function hash(...values: number[]): number {
  let h = 0x811c9dc5;
  for (const value of values) {
    h = Math.imul(h ^ value, 0x01000193);
    h ^= h >>> 15;
  }
  return h >>> 0;
}

export function fakeLogits({ vocabSize, script }: FakeModel, tokens: readonly number[]): Float32Array {
  const logits = new Float32Array(vocabSize);
  const state = hash(...tokens);
  for (let i = 0; i < vocabSize; i++) logits[i] = (hash(state, i) % 4096) / 512;
  if (script !== undefined) logits[script(tokens)] = 100;
  return logits;
}

export function fakeLogprobs(logits: Float32Array): Float32Array {
  const sum = logits.reduce((total, logit) => total + Math.exp(logit), 0);
  return logits.map((logit) => logit - Math.log(sum));
}

interface FakeSlot {
  config: SlotConfig;
  last: number;
  place: number;
  raw: Float32Array;
}

/** Adjusts and chooses as the addon would, with noise of (seed, place) for its random numbers. */
function adjusted(logits: Float32Array, { config, place }: FakeSlot): Float32Array {
  const changed = logits.slice();
  for (const [i, token] of config.biasTokens.entries()) changed[token]! += config.biasValues[i]!;
  if (place < config.minTokens) for (const token of config.endTokens) changed[token] = Number.NEGATIVE_INFINITY;
  return changed;
}

function choose(logits: Float32Array, { config, place }: FakeSlot): number {
  let best = -1;
  let bestValue = Number.NEGATIVE_INFINITY;
  for (const [i, logit] of logits.entries()) {
    const noise = config.temperature === 0 ? 0 : (hash(Number(config.seed & 0xffffffffn), place, i) % 4096) / 512;
    if (logit + noise > bestValue) [best, bestValue] = [i, logit + noise];
  }
  return best;
}

/** What a request alone should sample. */
export function expectedTokens(model: FakeModel, prompt: readonly number[], count: number, config: Partial<SlotConfig> = {}): number[] {
  const tokens = [...prompt];
  const none = {
    biasTokens: new Int32Array(),
    biasValues: new Float32Array(),
    endTokens: new Int32Array(),
    minTokens: 0,
    temperature: 0,
    seed: 0n,
  };
  for (let place = 0; place < count; place++) {
    const slot = { config: { ...none, ...config } as SlotConfig, last: 0, place, raw: new Float32Array() };
    tokens.push(choose(adjusted(fakeLogits(model, tokens), slot), slot));
  }
  return tokens.slice(prompt.length);
}

/**
 * The native engine's contract without arithmetic: tokens are stored in and read back through the pages that each row names, so a wrong
 * page, position or slot changes what is sampled. Calls run in order, each in its own turn of the event loop.
 */
export class FakeNative implements NativeEngine {
  readonly config: NativeConfig;
  readonly model: FakeModel;
  readonly #caches: Int32Array[];
  readonly #slots = new Map<number, FakeSlot>();
  #queue: Promise<unknown> = Promise.resolve();
  #closed = false;
  #close!: () => void;
  readonly #closing = new Promise<void>((resolve) => {
    this.#close = resolve;
  });
  underWay = 0;
  mostUnderWay = 0;
  steps = 0;
  rows = 0;
  /** Rejects every step from now on. */
  failure: Error | undefined;
  /** Awaited before each step and load. */
  gate: Promise<void> | undefined;

  constructor(config: NativeConfig, model: FakeModel) {
    this.config = config;
    this.model = model;
    this.#caches = config.pages.map((pages) => new Int32Array(pages * config.pageSize).fill(-1));
  }

  load(onProgress: (done: number, total: number) => void): Promise<NativeInfo> {
    return this.#enqueue(() => {
      onProgress(50, 100);
      onProgress(100, 100);
      return { weightBytes: 100, kvCacheBytes: 1000, processor: "fake" };
    });
  }

  setSlot(slot: number, config: SlotConfig): void {
    const copy = { ...config, tokens: config.tokens.slice() };
    const place = copy.tokens.length - copy.promptLength;
    void this.#run(() => this.#slots.set(slot, { config: copy, last: copy.tokens.at(-1) ?? -1, place, raw: new Float32Array() }));
  }

  step(buffers: StepBuffers): Promise<StepOutput> {
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    if (this.underWay > 2) throw new Error("more than two steps under way");
    this.steps += 1;
    this.rows += buffers.rowCount;
    const copy = Object.fromEntries(
      Object.entries(buffers).map(([key, value]) => [key, typeof value === "number" ? value : value.slice()]),
    );
    const output = this.#enqueue(() => {
      if (this.failure !== undefined) throw this.failure;
      return this.#step(copy as unknown as StepBuffers, buffers);
    });
    return output.finally(() => {
      this.underWay -= 1;
    });
  }

  sample(slot: number, logits: Float32Array): Promise<SampledToken> {
    const copy = logits.slice();
    return this.#enqueue(() => {
      const state = this.#slots.get(slot)!;
      const token = choose(copy, state);
      this.#accept(state, token);
      return { token, ...this.#logprobs(state.raw, token) };
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#close();
    return this.#queue.then(() => {});
  }

  #run<T>(work: () => T): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => {});
    return result;
  }

  #enqueue<T>(work: () => T): Promise<T> {
    const result = this.#queue.then(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      await Promise.race([this.gate, this.#closing]);
      if (this.#closed) throw Object.assign(new Error("closed"), { code: "CLOSED" });
      return work();
    });
    this.#queue = result.catch(() => {});
    return result;
  }

  #step(input: StepBuffers, results: StepBuffers): StepOutput {
    const output: StepOutput = { logits: new Map(), scores: new Map() };
    for (let b = 0; b < input.rowCount; b++) {
      const sequence = this.#write(input, b);
      const begin = input.starts[b]!;
      results.sampled[b] = -1;
      if (input.outputs[b] === ROW_OUTPUT.score) this.#score(input, b, sequence, begin, output);
      if (input.outputs[b] !== ROW_OUTPUT.sample && input.outputs[b] !== ROW_OUTPUT.logits) continue;
      const slot = this.#slots.get(input.slots[b]!)!;
      slot.raw = fakeLogits(this.model, sequence);
      if (input.outputs[b] === ROW_OUTPUT.logits) output.logits.set(b, adjusted(slot.raw, slot));
      else this.#sample(slot, results, b);
    }
    return output;
  }

  /** Writes the row's tokens into each group's pages; returns all tokens of the sequence as group 0, which sees all, has them. */
  #write(input: StepBuffers, b: number): number[] {
    const { pageSize } = this.config;
    const stop = input.starts[b]! + input.qIndptr[b + 1]! - input.qIndptr[b]!;
    for (const [g, cache] of this.#caches.entries()) {
      const indptr = g * (input.rowCount + 1) + b;
      const first = input.kvFirst[g * input.rowCount + b]!;
      if ((first + input.kvIndptr[indptr + 1]! - input.kvIndptr[indptr]!) * pageSize < stop)
        throw new Error(`row ${b}: too few pages in group ${g}`);
      for (let i = input.qIndptr[b]!; i < input.qIndptr[b + 1]!; i++) {
        const position = input.starts[b]! + i - input.qIndptr[b]!;
        const page = input.kvPages[input.kvIndptr[indptr]! + Math.floor(position / pageSize) - first]!;
        const token = input.tokens[i]!;
        cache[page * pageSize + (position % pageSize)] = token < 0 ? this.#slots.get(input.slots[b]!)!.last : token;
      }
    }
    this.#checkWindows(input, b, stop);
    return this.#read(input, b, 0, 0, stop);
  }

  #read(input: StepBuffers, b: number, g: number, from: number, to: number): number[] {
    const { pageSize } = this.config;
    const begin = input.kvIndptr[g * (input.rowCount + 1) + b]! - input.kvFirst[g * input.rowCount + b]!;
    const at = (position: number): number => {
      return this.#caches[g]![input.kvPages[begin + Math.floor(position / pageSize)]! * pageSize + (position % pageSize)]!;
    };
    return Array.from({ length: to - from }, (_, i) => at(from + i));
  }

  #checkWindows(input: StepBuffers, b: number, stop: number): void {
    for (const [g, { window }] of this.config.spec.cacheGroups.entries()) {
      if (window === 0) continue;
      const from = Math.max(0, input.starts[b]! - window + 1);
      const [seen, all] = [this.#read(input, b, g, from, stop), this.#read(input, b, 0, from, stop)];
      if (seen.join() !== all.join()) throw new Error(`row ${b}: group ${g} holds other tokens in its window than group 0`);
    }
  }

  #score(input: StepBuffers, b: number, sequence: number[], begin: number, output: StepOutput): void {
    const scores: number[] = [];
    const logits: number[] = [];
    for (let end = begin + 1; end <= sequence.length; end++) {
      const row = fakeLogits(this.model, sequence.slice(0, end));
      const next = end < sequence.length ? sequence[end]! : input.nextTokens[b]!;
      scores.push(next < 0 ? Number.NaN : fakeLogprobs(row)[next]!);
      logits.push(...row);
    }
    output.scores.set(b, Float32Array.from(scores));
    if (input.wantLogits[b] === 1) output.logits.set(b, Float32Array.from(logits));
  }

  #sample(slot: FakeSlot, results: StepBuffers, b: number): void {
    const token = choose(adjusted(slot.raw, slot), slot);
    this.#accept(slot, token);
    const { logprob, topTokens, topLogprobs } = this.#logprobs(slot.raw, token);
    results.sampled[b] = token;
    results.logprobs[b] = logprob;
    results.topTokens.set(topTokens, b * MAX_TOP_LOGPROBS);
    results.topLogprobs.set(topLogprobs, b * MAX_TOP_LOGPROBS);
  }

  #accept(slot: FakeSlot, token: number): void {
    slot.last = token;
    slot.place += 1;
  }

  #logprobs(raw: Float32Array, token: number): Omit<SampledToken, "token"> {
    const logprobs = fakeLogprobs(raw);
    const best = [...logprobs.keys()].sort((a, b) => logprobs[b]! - logprobs[a]! || a - b).slice(0, MAX_TOP_LOGPROBS);
    return {
      logprob: logprobs[token] ?? Number.NaN,
      topTokens: Int32Array.from(best),
      topLogprobs: Float32Array.from(best, (id) => logprobs[id]!),
    };
  }
}
