import {
  type NativeConfig,
  type NativeEngine,
  type NativeInfo,
  NOT_NUMBERS,
  ROW_OUTPUT,
  type SlotConfig,
  type StepBuffers,
  type StepResults,
} from "../../lib/native/addon.ts";
import {
  checkSlot,
  checkStep,
  copyBack,
  copyOf,
  copySlotConfig,
  copyStep,
  emptyResults,
  expectRight,
  nativeFailure,
} from "./fake-checks.ts";
import { areNumbers, type FakeModel, fakeLogits, fakeLogprobs } from "./fake-model.ts";
import { FakeSlot } from "./fake-slot.ts";

/** A slot as far as it is known without what steps gave. */
interface SlotState {
  slot: FakeSlot;
  hasToken: boolean;
  hasLogits: boolean;
}

/** What the pages of a failed step hold. */
const GARBAGE = -77;

/**
 * The native engine's contract without arithmetic: tokens are stored in and read back through the pages that each row names, so a wrong
 * page, position or slot changes what is sampled. Calls run in order, each in its own turn of the event loop. As strict as the addon, and
 * more: at most two steps may be under way.
 */
export class FakeNative implements NativeEngine {
  readonly config: NativeConfig;
  readonly model: FakeModel;
  readonly #caches: Int32Array[];
  readonly #states = new Map<number, SlotState>();
  #queue: Promise<unknown> = Promise.resolve();
  #loaded = false;
  #closed: Promise<void> | undefined;
  #interrupt!: () => void;
  readonly #interrupted = new Promise<void>((resolve) => {
    this.#interrupt = resolve;
  });
  underWay = 0;
  mostUnderWay = 0;
  steps = 0;
  rows = 0;
  /** Why step n, from 1 on, fails, having written garbage; `undefined`: it does not. */
  failing: (step: number) => Error | undefined = () => undefined;
  /** Awaited before each load, step and choice. */
  gate: Promise<void> | undefined;

  constructor(config: NativeConfig, model: FakeModel) {
    this.config = config;
    this.model = model;
    this.#caches = config.pages.map((pages) => new Int32Array(pages * config.pageSize).fill(-1));
  }

  load(onProgress: (done: number, total: number) => void): Promise<NativeInfo> {
    return this.#enqueue(
      () => expectRight(typeof onProgress === "function", "load needs a progress function"),
      () => {
        expectRight(!this.#loaded, "the engine is loaded already");
        this.#loaded = true;
        onProgress(50, 100);
        onProgress(100, 100);
        return { weightBytes: 100, kvCacheBytes: 1000, processor: "fake" };
      },
    );
  }

  setSlot(slot: number, config: SlotConfig): void {
    const copy = copySlotConfig(config, this.config.spec.vocabSize);
    checkSlot(slot, this.config);
    if (this.#closed !== undefined) throw nativeFailure("CLOSED", "the engine is closed");
    const state = { slot: new FakeSlot(copy), hasToken: copy.tokens.length > 0, hasLogits: false };
    this.#queue = this.#queue.then(() => {
      if (this.#loaded) this.#states.set(slot, state);
    });
  }

  step(buffers: StepBuffers): Promise<boolean> {
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    const done = this.#enqueue(
      () => {
        const step = copyStep(buffers, this.config);
        expectRight(this.underWay <= 2, "more than two steps are under way");
        this.steps += 1;
        this.rows += step.rowCount;
        return { step, number: this.steps };
      },
      ({ step, number }) => {
        this.#step(step, number, buffers);
        return false; // it records nothing
      },
    );
    return done.finally(() => {
      this.underWay -= 1;
    });
  }

  choose(slot: number, logits: Float32Array, results: StepResults): Promise<void> {
    return this.#enqueue(
      () => {
        const { vocabSize } = this.config.spec;
        const copy = copyOf(Float32Array, "logits", logits, vocabSize);
        expectRight(logits.length === vocabSize, "logits are too long");
        checkSlot(slot, this.config);
        expectRight(typeof results === "object" && results !== null, "results is not an object");
        return copy;
      },
      (copy) => {
        const state = this.#states.get(slot);
        expectRight(state?.hasLogits === true, `slot ${slot} waits for no choice`);
        const own = emptyResults(1);
        if (state.slot.raw !== undefined) state.slot.sample(state.slot.raw, copy, own, 0, true);
        Object.assign(state, { hasLogits: false, hasToken: true });
        state.slot.raw = undefined;
        copyBack(own, results);
      },
    );
  }

  close(): Promise<void> {
    this.#interrupt();
    this.#closed ??= this.#queue.then(() => new Promise((resolve) => setImmediate(resolve))); // after what settles before
    return this.#closed;
  }

  /** Runs `prepare` at once and `work` in its turn; what either throws rejects. */
  async #enqueue<P, T>(prepare: () => P, work: (prepared: P) => T): Promise<T> {
    const prepared = prepare();
    if (this.#closed !== undefined) throw nativeFailure("CLOSED", "the engine is closed");
    const result = this.#queue.then(async () => {
      await new Promise((resolve) => setImmediate(resolve));
      await Promise.race([this.gate, this.#interrupted]);
      if (this.#closed !== undefined) throw nativeFailure("CLOSED", "the engine was closed");
      return work(prepared);
    });
    this.#queue = result.catch(() => {});
    return result;
  }

  #step(step: StepBuffers, number: number, buffers: StepBuffers): void {
    expectRight(this.#loaded, "the engine is not loaded");
    checkStep(step, this.config);
    this.#checkSlots(step);
    this.#noteOutputs(step);
    const failure = this.failing(number);
    for (let b = 0; b < step.rowCount; b++) this.#write(step, b, failure !== undefined);
    if (failure !== undefined) throw failure;
    for (let b = 0; b < step.rowCount; b++) this.#runRow(step, b);
    copyBack(step, buffers);
    if (step.logits === undefined) return;
    expectRight(buffers.logits?.length === step.logits.length, "logits is too short");
    buffers.logits.set(step.logits);
  }

  #checkSlots({ rowCount, slots, tokens, qIndptr }: StepBuffers): void {
    for (let b = 0; b < rowCount; b++) {
      const state = this.#states.get(slots[b]!);
      expectRight(state !== undefined, `row ${b}: slot ${slots[b]} belongs to no sequence`);
      const asks = tokens.subarray(qIndptr[b]!, qIndptr[b + 1]!).includes(-1);
      expectRight(!asks || state.hasToken, `row ${b}: slot ${slots[b]} has sampled no token`);
    }
  }

  #noteOutputs({ rowCount, slots, kinds }: StepBuffers): void {
    for (let b = 0; b < rowCount; b++) {
      const state = this.#states.get(slots[b]!)!;
      if (kinds[b] === ROW_OUTPUT.sample) state.hasToken = true;
      if (kinds[b] === ROW_OUTPUT.logits) state.hasLogits = true;
    }
  }

  /** Writes the row's tokens, or garbage, into each group's pages. */
  #write(step: StepBuffers, b: number, garbage: boolean): void {
    const { last } = this.#states.get(step.slots[b]!)!.slot;
    for (const g of this.#caches.keys()) {
      for (let i = step.qIndptr[b]!; i < step.qIndptr[b + 1]!; i++) {
        if (step.tokens[i]! < 0) step.tokens[i] = last;
        const [cache, place] = this.#placeOf(step, b, g, step.starts[b]! + i - step.qIndptr[b]!);
        cache[place] = garbage ? GARBAGE : step.tokens[i]!;
      }
    }
  }

  #placeOf({ rowCount, kvFirst, kvIndptr, kvPages }: StepBuffers, b: number, g: number, position: number): [Int32Array, number] {
    const { pageSize } = this.config;
    const index = kvIndptr[g * (rowCount + 1) + b]! + Math.floor(position / pageSize) - kvFirst[g * rowCount + b]!;
    return [this.#caches[g]!, kvPages[index]! * pageSize + (position % pageSize)];
  }

  #read(step: StepBuffers, b: number, g: number, from: number, to: number): number[] {
    return Array.from({ length: to - from }, (_, i) => {
      const [cache, place] = this.#placeOf(step, b, g, from + i);
      return cache[place]!;
    });
  }

  #runRow(step: StepBuffers, b: number): void {
    const start = step.starts[b]!;
    const stop = start + step.qIndptr[b + 1]! - step.qIndptr[b]!;
    const all = this.#read(step, b, 0, 0, stop); // group 0 sees all
    for (const [g, { window }] of this.config.spec.cacheGroups.entries()) {
      const from = window === 0 ? 0 : Math.max(0, start - window + 1);
      if (this.#read(step, b, g, from, stop).join() !== all.slice(from).join()) throw new Error(`row ${b}: group ${g} holds other tokens`);
    }
    const [begin, end] = [step.outIndptr[b]!, step.outIndptr[b + 1]!];
    for (let output = begin; output < end; output++) this.#output(step, b, output, all, stop - (end - output));
  }

  /** Output `output` of row b: that of the token at `position` of all the sequence's tokens. */
  #output(step: StepBuffers, b: number, output: number, all: number[], position: number): void {
    const raw = fakeLogits(this.model, all.slice(0, position + 1));
    const { slot } = this.#states.get(step.slots[b]!)!;
    const logitRow = step.logitRows[b]! + output - step.outIndptr[b]!;
    const keep = (logits: Float32Array): void => step.logits!.set(logits, logitRow * this.model.vocabSize);
    if (!areNumbers(raw)) step.sampled[output] = NOT_NUMBERS;
    else if (step.kinds[b] === ROW_OUTPUT.score) {
      const next = all[position + 1] ?? step.nextTokens[b]!;
      step.logprobs[output] = fakeLogprobs(raw)[next] ?? Number.NaN;
      if (step.logitRows[b]! >= 0) keep(raw);
    } else if (step.kinds[b] === ROW_OUTPUT.logits) {
      slot.raw = raw;
      keep(slot.adjusted(raw));
    } else if (output === step.outIndptr[b] || step.sampled[output - 1] === all[position]) {
      slot.sample(raw, slot.adjusted(raw), step, output, false);
    }
  }
}
