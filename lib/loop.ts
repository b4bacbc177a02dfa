import { createBuffers, pack } from "./batch.ts";
import { type ErrorCode, KvasirError } from "./errors.ts";
import {
  MAX_TOP_LOGPROBS,
  type NativeEngine,
  nativeError,
  ROW_OUTPUT,
  type SampledToken,
  type SlotConfig,
  type StepBuffers,
  type StepOutput,
} from "./native.ts";
import { createPlan, type Plan } from "./schedule/plan.ts";
import type { Scheduler } from "./schedule/scheduler.ts";
import type { Sequence, SequenceOptions } from "./schedule/sequence.ts";

/** A token with its log-probabilities: `top*` hold MAX_TOP_LOGPROBS entries from `offset` on. Reused: copy what is kept. */
export interface Sampled extends SampledToken {
  offset: number;
}

/** Who owns a sequence. The loop tells it, in the order of steps, what the sequence's rows gave back. */
export interface Task {
  /** Tasks of one request have the same. */
  readonly request: object;
  /** Score rows return logits, too. */
  readonly wantLogits: boolean;
  /** The error of a row without a finite logit. */
  readonly nothingToSample: [ErrorCode, string];
  /** The sequence has got a slot: for the first time, or again after a preemption. */
  slotConfig(sequence: Sequence): SlotConfig;
  /** Logits for the processor; returns those to sample from. May throw. */
  process(logits: Float32Array): Float32Array;
  /** A token was sampled at time `now`, and the sequence has it; true: it was the last. */
  accept(sampled: Sampled, now: number): boolean;
  /** Log-probabilities of the tokens after position `start` and those that follow; true: that was all. */
  score(start: number, logprobs: Float32Array, logits: Float32Array | undefined): boolean;
  /** The sequence cannot go on. Ends the whole request. */
  fail(reason: unknown): void;
}

interface Step {
  readonly plan: Plan;
  readonly buffers: StepBuffers;
  output: Promise<StepOutput> | undefined;
}

/**
 * The step loop. Step N+1 is planned and submitted before step N's tokens are known:
 *
 *     JavaScript   plan 1, plan 2 | settle 1, plan 3 | settle 2, plan 4 | ...
 *     native       step 1         | step 2           | step 3           | ...
 *
 * It runs while there is something to plan, and `wake` starts it again.
 */
export class StepLoop {
  readonly #native: NativeEngine;
  readonly #scheduler: Scheduler;
  readonly #groups: number;
  readonly #steps: [Step, Step];
  readonly #tasks = new Map<Sequence, Task>();
  readonly #sampled: Sampled;
  /** Tokens that native.sample is choosing from processed logits. */
  #choosing = 0;
  #active = false;
  #stopped: Promise<void> = Promise.resolve();
  #failure: KvasirError | undefined;
  #stepCount = 0;
  #rowCount = 0;

  constructor(native: NativeEngine, scheduler: Scheduler, limits: { maxBatchTokens: number; maxSlots: number; groups: number }) {
    this.#native = native;
    this.#scheduler = scheduler;
    this.#groups = limits.groups;
    const step = (): Step => ({ plan: createPlan(), buffers: createBuffers(limits), output: undefined });
    this.#steps = [step(), step()];
    this.#sampled = { token: -1, logprob: 0, topTokens: new Int32Array(), topLogprobs: new Float32Array(), offset: 0 };
  }

  /** Queues a sequence for `task`. Throws what the scheduler refuses, and why the loop no longer runs. */
  add(options: SequenceOptions, task: Task): Sequence {
    this.check();
    const sequence = this.#scheduler.add(options);
    this.#tasks.set(sequence, task);
    this.wake();
    return sequence;
  }

  /** Ends a sequence in any state; what steps under way return for it is dropped. */
  cancel(sequence: Sequence): void {
    this.#tasks.delete(sequence);
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

  /** Fails every task and ends what runs; resolves when nothing does. */
  async close(): Promise<void> {
    this.#fail(new KvasirError("CLOSED", "the engine was closed"));
    await this.#native.close();
    await this.#stopped;
  }

  /** Requests by state, and the mean number of rows of all steps so far. */
  stats(): { running: number; waiting: number; meanRows: number } {
    const requests = new Map<object, boolean>();
    for (const [sequence, { request }] of this.#tasks) {
      requests.set(request, requests.get(request) === true || sequence.state === "running");
    }
    const running = [...requests.values()].filter(Boolean).length;
    return { running, waiting: requests.size - running, meanRows: this.#stepCount === 0 ? 0 : this.#rowCount / this.#stepCount };
  }

  async #run(): Promise<void> {
    try {
      await undefined; // who asks in the same turn of the event loop shares the first step
      let running: Step | undefined;
      for (let turn = 0; ; turn ^= 1) {
        const next = this.#submit(this.#steps[turn]!);
        if (running !== undefined) this.#settle(running, await running.output!);
        else if (next === undefined) break;
        running = next;
      }
      this.#active = false;
      if (this.#tasks.size > 0 && this.#choosing === 0)
        throw new KvasirError("INTERNAL", `${this.#tasks.size} sequences wait, and none can be planned`);
    } catch (error) {
      this.#fail(nativeError(error));
    }
  }

  /** Schedules, packs and submits one step; `undefined` when nothing can be planned now. */
  #submit(step: Step): Step | undefined {
    const { plan, buffers } = step;
    if (!this.#scheduler.schedule(plan)) return undefined;
    pack(plan, buffers, this.#groups);
    for (let b = 0; b < plan.rowCount; b++) this.#prepare(plan, buffers, b);
    step.output = this.#native.step(buffers);
    step.output.catch(() => {}); // seen when it is awaited, after the step before
    this.#stepCount += 1;
    this.#rowCount += plan.rowCount;
    return step;
  }

  /** A slot that is refused fails its own request: the step then runs its rows for nothing. */
  #prepare(plan: Plan, buffers: StepBuffers, b: number): void {
    const { sequence } = plan.rows[b]!;
    const task = this.#tasks.get(sequence);
    buffers.wantLogits[b] = task?.wantLogits ? 1 : 0;
    try {
      if (task !== undefined && sequence.slotIsNew) this.#native.setSlot(sequence.slot, task.slotConfig(sequence));
      sequence.slotIsNew = false;
    } catch (error) {
      task?.fail(nativeError(error));
    }
    if (!this.#tasks.has(sequence)) buffers.outputs[b] = ROW_OUTPUT.none;
  }

  #settle(step: Step, output: StepOutput): void {
    const now = performance.now();
    for (let b = 0; b < step.plan.rowCount; b++) {
      const task = this.#tasks.get(step.plan.rows[b]!.sequence);
      if (task === undefined) continue; // ended while the step ran
      try {
        this.#deliver(step, output, b, task, now);
      } catch (error) {
        task.fail(nativeError(error));
      }
    }
  }

  /** Hands task what row b gave back. */
  #deliver({ plan, buffers }: Step, { logits, scores }: StepOutput, b: number, task: Task, now: number): void {
    const { sequence, start, output } = plan.rows[b]!;
    if (output === "sample") this.#accept(sequence, task, this.#read(buffers, b), now);
    else if (output === "logits") void this.#choose(sequence, buffers.slots[b]!, task, logits.get(b)!);
    else if (output === "score" && task.score(start, scores.get(b)!, logits.get(b))) this.cancel(sequence);
  }

  #read(buffers: StepBuffers, b: number): Sampled {
    const sampled = this.#sampled;
    sampled.token = buffers.sampled[b]!;
    sampled.logprob = buffers.logprobs[b]!;
    sampled.topTokens = buffers.topTokens;
    sampled.topLogprobs = buffers.topLogprobs;
    sampled.offset = b * MAX_TOP_LOGPROBS;
    return sampled;
  }

  #accept(sequence: Sequence, task: Task, sampled: Sampled, now: number): void {
    if (sampled.token < 0) throw new KvasirError(...task.nothingToSample);
    this.#scheduler.settle(sequence, Int32Array.of(sampled.token), 0, 1);
    if (task.accept(sampled, now)) this.cancel(sequence);
  }

  /** The task's processor changes the logits and its slot samples from them. Other rows do not wait. */
  async #choose(sequence: Sequence, slot: number, task: Task, logits: Float32Array): Promise<void> {
    this.#choosing += 1;
    try {
      const choice = this.#native.sample(slot, task.process(logits));
      this.#scheduler.resume(sequence);
      const sampled = await choice;
      if (this.#tasks.has(sequence)) this.#accept(sequence, task, { ...sampled, offset: 0 }, performance.now());
    } catch (error) {
      if (this.#tasks.has(sequence)) task.fail(nativeError(error));
    } finally {
      this.#choosing -= 1;
      this.wake();
    }
  }

  #fail(failure: KvasirError): void {
    this.#active = false;
    this.#failure ??= failure;
    for (const task of [...this.#tasks.values()]) task.fail(failure);
  }
}
