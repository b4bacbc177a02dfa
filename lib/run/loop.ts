import { setImmediate } from "node:timers/promises";
import { counted, KvasirError } from "../errors.ts";
import { type NativeEngine, NOT_NUMBERS, nativeError, type StepBuffers, type StepDrafts, type StepResults } from "../native/addon.ts";
import { createBuffers, createDrafts, createResults } from "../native/batch.ts";
import { clearPlan, createPlan, type Plan } from "../schedule/plan.ts";
import type { Scheduler } from "../schedule/scheduler.ts";
import type { Sequence, SequenceOptions } from "../schedule/sequence.ts";
import type { PrefillLimit } from "../schedule/shares.ts";
import { failInTurns } from "./fail-in-turns.ts";
import { NO_NUMBERS, type Sampled, type Sampling, type SequenceOwner } from "./owner.ts";
import { Preparation } from "./preparation.ts";
import type { PromptPace } from "./prompt-pace.ts";
import { StepClock, type StepObserver, tokensOf } from "./step-clock.ts";

interface Step {
  readonly plan: Plan;
  readonly buffers: StepBuffers;
  readonly drafts: StepDrafts;
  done: Promise<boolean> | undefined;
  /** By `performance.now()`. */
  submitted: number;
}

/** What a step's size depends on. */
export interface LoopLimits {
  maxBatchTokens: number;
  maxSlots: number;
  groups: number;
  vocabSize: number;
}

/**
 * The step loop. Step N+1 is planned and submitted before step N's tokens are known:
 *
 *     JavaScript   plan 1, plan 2 | settle 1, plan 3 | settle 2, plan 4 | ...
 *     native       step 1         | step 2           | step 3           | ...
 *
 * It runs while there is something to plan, and `wake` starts it again.
 *
 * A failure is as small as it can be. What is refused before a step is submitted (a slot's parameters, memory for results) ends one request,
 * whose row leaves the plan. A step that fails natively ends the requests of its rows, and those that found its pages meanwhile; the others
 * go on. Only a second step in a row that fails for another reason than memory ends the engine: it is defective.
 */
export class StepLoop {
  readonly #native: NativeEngine;
  readonly #scheduler: Scheduler;
  readonly #preparation: Preparation;
  readonly #vocabSize: number;
  readonly #mostPrefill: PrefillLimit;
  readonly #clock: StepClock;
  readonly #steps: [Step, Step];
  readonly #owners = new Map<Sequence, SequenceOwner>();
  readonly #sampled: Sampled;
  /** Tokens that native.choose is choosing from processed logits. */
  #choosing = 0;
  /** The latest step that gave anybody anything, or should have, failed; and not for lack of memory. */
  #failed = false;
  #active = false;
  #stopped: Promise<void> = Promise.resolve();
  #failure: KvasirError | undefined;
  #stepCount = 0;
  #rowCount = 0;

  /** `observers`: for whom steps are measured, beside `pace`. */
  constructor(native: NativeEngine, scheduler: Scheduler, limits: LoopLimits, pace: PromptPace, observers: readonly StepObserver[] = []) {
    this.#native = native;
    this.#scheduler = scheduler;
    this.#preparation = new Preparation(native, scheduler, this.#owners, limits);
    this.#vocabSize = limits.vocabSize;
    this.#mostPrefill = (running) => pace.tokensBeside(running);
    this.#clock = new StepClock([pace, ...observers]);
    const step = (): Step => ({
      plan: createPlan(),
      buffers: createBuffers(limits),
      drafts: createDrafts(limits),
      done: undefined,
      submitted: 0,
    });
    this.#steps = [step(), step()];
    this.#sampled = { results: this.#steps[0].buffers, output: 0 };
  }

  /** Queues a sequence for its owner. Throws what the scheduler refuses, and why the loop no longer runs. */
  add(options: SequenceOptions, owner: SequenceOwner): Sequence {
    this.check();
    const sequence = this.#scheduler.add(options);
    this.#owners.set(sequence, owner);
    this.wake();
    return sequence;
  }

  /** Ends a sequence in any state; what steps under way return for it is dropped. */
  cancel(sequence: Sequence): void {
    this.#owners.delete(sequence);
    this.#scheduler.finish(sequence);
    this.wake();
  }

  /** Throws why the loop no longer runs, if so. */
  check(): void {
    if (this.#failure !== undefined) throw new KvasirError(this.#failure.code, this.#failure.message, { cause: this.#failure });
  }

  /** Starts the loop unless it runs. */
  wake(): void {
    if (this.#active || this.#failure !== undefined) return;
    this.#active = true;
    this.#stopped = this.#run();
  }

  /** Fails every request and ends what runs; resolves when nothing does. */
  async close(): Promise<void> {
    const failed = this.#fail(new KvasirError("CLOSED", "the engine was closed"));
    await this.#native.close();
    await this.#stopped;
    await failed;
  }

  /** Requests by state, and the mean number of rows of all steps so far. */
  stats(): { running: number; waiting: number; meanRows: number } {
    const requests = new Map<object, boolean>();
    for (const [sequence, { request }] of this.#owners) {
      requests.set(request, requests.get(request) === true || sequence.state === "running");
    }
    const running = [...requests.values()].filter(Boolean).length;
    return { running, waiting: requests.size - running, meanRows: this.#stepCount === 0 ? 0 : this.#rowCount / this.#stepCount };
  }

  async #run(): Promise<void> {
    try {
      await undefined; // who asks in the same turn of the event loop shares the first step
      let running: Step | undefined;
      this.#clock.start();
      for (let turn = 0; ; turn ^= 1) {
        const next = this.#submit(this.#steps[turn]!);
        if (running !== undefined) {
          await this.#finish(running);
          clearPlan(running.plan);
        } else if (next === undefined && !this.#scheduler.hasPutOff) break;
        else if (next === undefined) await setImmediate();
        running = next;
      }
      this.#active = false;
      if (this.#owners.size > 0 && this.#choosing === 0)
        throw new KvasirError("INTERNAL", `${counted(this.#owners.size, "sequence")} left waiting, and none can be planned`);
    } catch (error) {
      await this.#fail(nativeError(error));
    }
  }

  /** Schedules, packs and submits one step; `undefined` when nothing can be planned now. */
  #submit(step: Step): Step | undefined {
    const { plan, buffers, drafts } = step;
    do {
      if (!this.#scheduler.schedule(plan, this.#mostPrefill)) return undefined;
      this.#preparation.prepare(plan, buffers, drafts);
    } while (plan.rowCount === 0); // each time, a request has failed
    step.submitted = performance.now();
    step.done = this.#native.step(buffers);
    step.done.catch(() => {}); // seen when it is awaited, after the step before
    this.#stepCount += 1;
    this.#rowCount += plan.rowCount;
    return step;
  }

  /** Waits for a step, and hands on what it gave. */
  async #finish(step: Step): Promise<void> {
    let recorded: boolean;
    try {
      recorded = (await step.done)!;
    } catch (error) {
      this.#clock.failed(performance.now());
      return this.#lose(step, nativeError(error));
    }
    const now = performance.now();
    this.#clock.done(step.plan, { submitted: step.submitted, now, tokens: tokensOf(step.plan, step.buffers), recorded });
    for (let b = 0; b < step.plan.rowCount; b++) {
      const owner = this.#owners.get(step.plan.rows[b]!.sequence);
      if (owner === undefined) continue; // ended while the step ran
      this.#failed = false;
      try {
        this.#deliver(step, b, owner, now);
      } catch (error) {
        owner.fail(nativeError(error));
      }
    }
  }

  /** The step has failed, and the requests fail that depend on it. Lack of memory may pass; another second failure in a row is the end. */
  #lose({ plan }: Step, failure: KvasirError): void {
    const isMemory = failure.code === "OUT_OF_MEMORY";
    if (failure.code === "CLOSED" || (this.#failed && !isMemory)) throw failure;
    this.#failed = !isMemory;
    for (const sequence of this.#scheduler.lose(plan)) this.#owners.get(sequence)?.fail(failure);
  }

  /** Hands the owner what row b gave. */
  #deliver({ plan, buffers }: Step, b: number, owner: SequenceOwner, now: number): void {
    const { sequence, start, output } = plan.rows[b]!;
    const [from, to] = [buffers.outIndptr[b]!, buffers.outIndptr[b + 1]!];
    if ((output === "logits" || owner.kind === "scoring") && buffers.sampled.subarray(from, to).includes(NOT_NUMBERS)) {
      throw new KvasirError(...NO_NUMBERS);
    }
    if (owner.kind === "scoring") {
      if (owner.score(start, buffers.logprobs.subarray(from, to), this.#logits(buffers, b))) this.cancel(sequence);
    } else if (output === "sample") this.#accept(sequence, owner, buffers, from, to, now);
    else if (output === "logits") this.#choose(sequence, owner, this.#logits(buffers, b)!.slice()); // its own: it may keep or transfer it
  }

  #logits({ logits, logitRows, outIndptr }: StepBuffers, b: number): Float32Array | undefined {
    const [first, vocabSize] = [logitRows[b]!, this.#vocabSize];
    return first < 0 ? undefined : logits!.subarray(first * vocabSize, (first + outIndptr[b + 1]! - outIndptr[b]!) * vocabSize);
  }

  /** Outputs [from, to) of a row: its tokens, up to the first that a wrong guess came before. */
  #accept(sequence: Sequence, owner: Sampling, results: StepResults, from: number, to: number, now: number): void {
    let end = from;
    while (end < to && results.sampled[end]! >= 0) end += 1;
    if (end === from) throw new KvasirError(...(results.sampled[from] === NOT_NUMBERS ? owner.notNumbers : owner.nothingToSample));
    this.#scheduler.settle(sequence, results.sampled, from, end);
    this.#sampled.results = results;
    for (let output = from; output < end; output++) {
      this.#sampled.output = output;
      if (!owner.accept(this.#sampled, now)) continue;
      this.cancel(sequence);
      break;
    }
  }

  /**
   * The processor changes the logits, and the slot chooses from them. Native calls run and settle in the order in which they are made: the
   * choice runs before any step that is submitted from now on, which finds the token on the device; and it settles before that step does, so
   * the processor knows every token when its next logits come.
   */
  #choose(sequence: Sequence, owner: Sampling, logits: Float32Array): void {
    const changed = owner.process(logits);
    if (!this.#owners.has(sequence)) return; // ended by the processor
    const results = createResults(1);
    const chosen = this.#native.choose(sequence.slot, changed, results);
    this.#scheduler.resume(sequence);
    this.#choosing += 1;
    void this.#settleChoice(sequence, owner, chosen, results);
  }

  async #settleChoice(sequence: Sequence, owner: Sampling, chosen: Promise<void>, results: StepResults): Promise<void> {
    try {
      await chosen;
      if (this.#owners.has(sequence)) this.#accept(sequence, owner, results, 0, 1, performance.now());
    } catch (error) {
      if (this.#owners.has(sequence)) owner.fail(nativeError(error));
    } finally {
      this.#choosing -= 1;
      this.wake();
    }
  }

  /** Fails every request for the first reason that there was, some in each turn of the event loop. */
  async #fail(reason: KvasirError): Promise<void> {
    this.#active = false;
    this.#failure ??= reason;
    const failure = this.#failure;
    await failInTurns([...this.#owners], ([sequence, owner]) => {
      if (this.#owners.has(sequence)) owner.fail(failure); // else it ended with another choice, or in a turn between
    });
  }
}
