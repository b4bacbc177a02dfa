import { type CacheConfig, PagedCache } from "./cache.ts";
import type { CacheGroupConfig, CreateGroup } from "./groups/group.ts";
import { createGroup } from "./groups/index.ts";
import { GuessPlanner } from "./guesses.ts";
import { checkRunning, checkWaiting } from "./integrity.ts";
import { takeLogitTurns } from "./logit-turns.ts";
import { Newcomers } from "./newcomers.ts";
import { invariant } from "./pages.ts";
import { addRow, clearPlan, type Plan, removeRow } from "./plan.ts";
import { insert, type Queue, remove } from "./queue.ts";
import { checkFits, createSequence, pendingTokens, receive, type Sequence, type SequenceOptions } from "./sequence.ts";
import { type PrefillLimit, shareTokens } from "./shares.ts";
import { keepsSlot, Slots } from "./slots.ts";
import type { Speculator } from "./speculator.ts";

/** Sizes that hold as long as the scheduler. */
export interface SchedulerConfig extends CacheConfig {
  /** Sequences that run at once at most. */
  maxSlots: number;
  /** Tokens whose logits a step gives at most (any number). */
  logitRows?: number;
}

/** What the scheduler holds at the moment, and what happened so far. */
export interface SchedulerStats {
  running: number;
  waiting: number;
  preemptions: number;
  /** Prompt tokens that the prefix cache served, of `prefixQueries` that were looked up. */
  prefixHits: number;
  prefixQueries: number;
  groups: (CacheGroupConfig & { used: number; cached: number })[];
}

/**
 * Decides which sequence runs how many tokens in the next step. Pure: no clock, no native code, nothing asynchronous.
 *
 * Sequences are ranked: higher priority first, then first come.
 *
 *     1. Waiting sequences that would run in the step get slots and pages, by rank. For one of higher priority the last that run give back
 *        theirs and wait again (preemption). None overtakes one that has too little room, however small it is.
 *     2. The step's tokens go to all that run: one is kept for each that decodes, so a prompt never stalls a stream, and prompts run in
 *        chunks of what is left, which they share (`sharePrefills`). Of those that want logits a step has room for few: they take turns
 *        (`takeLogitTurns`). When pages run out, the last by rank is preempted; the last itself
 *        skips the step.
 *
 * So the first by rank of all that run makes progress in every step, and everything ends.
 *
 * What is planned counts as submitted, and what is submitted as computed. Calls run natively in the order in which they are made, so a step
 * may be planned before what the one before gives is known. What comes back later may be less than that:
 *
 *     settle   a row gave its tokens: all that it asked for, or fewer
 *     resume   a row gave logits, and the choice of its token was submitted
 *     drop     a row is not submitted after all
 *     lose     a submitted step has failed
 *
 * A sequence whose tokens a processor chooses runs in every second step, and no other waits for it:
 *
 *     JavaScript   plan 1 with it, plan 2 | process 1's logits, choose, resume, plan 3 with it | settle the choice, plan 4 | ...
 *     native       step 1                 | step 2                           | choice | step 3                   | step 4  ...
 *
 * The choice was submitted before step 3, so it is made before step 3 runs, which finds its token on the device.
 *
 * A sequence whose row guessed runs again when that row has settled, since it is not known before where its next row begins: in every
 * second step where others, which don't guess, run in each. All that guess do so in the same steps.
 */
export class Scheduler {
  readonly #config: SchedulerConfig;
  readonly #cache: PagedCache;
  readonly #speculator: Speculator | undefined;
  readonly #guesses: GuessPlanner | undefined;
  /** Both by rank. */
  readonly #waiting: Queue = [];
  readonly #running: Queue = [];
  readonly #newcomers: Newcomers;
  readonly #slots: Slots;
  /** Room for those among whom something is shared out, empty between: a step makes no array. */
  readonly #candidates: Sequence[] = [];
  /** The latest step that was planned. */
  #step = 0;
  #arrivals = 0;
  #preemptions = 0;
  #prefixHits = 0;
  #prefixQueries = 0;

  /** Throws INVALID_ARGUMENT when the pools are too small for one sequence of `maxContext` tokens. Tests make groups of their own. */
  constructor(config: SchedulerConfig, speculator?: Speculator, createPages: CreateGroup = createGroup) {
    this.#config = config;
    this.#speculator = speculator;
    this.#cache = new PagedCache(config, createPages);
    this.#newcomers = new Newcomers(this.#cache, config, this.#waiting, this.#running);
    this.#guesses = speculator && new GuessPlanner(speculator, this.#cache, config.maxBatchTokens);
    this.#slots = new Slots(config.maxSlots);
  }

  /** Sequences that wait for pages, by rank. */
  get waiting(): readonly Sequence[] {
    return this.#waiting;
  }

  /** Sequences that have a slot and pages, by rank. */
  get running(): readonly Sequence[] {
    return this.#running;
  }

  /** Whether `schedule` left something for another turn of the event loop: to be called again, even if it planned nothing. */
  get hasPutOff(): boolean {
    return this.#newcomers.isPutOff;
  }

  /** Queues a sequence. Throws PROMPT_EMPTY, PROMPT_TOO_LONG or INVALID_ARGUMENT when it could never run to its end. */
  add(options: SequenceOptions): Sequence {
    checkFits(options, this.#config.maxContext);
    const sequence = createSequence(options, this.#arrivals, this.#cache.groups.length);
    this.#arrivals += 1;
    insert(this.#waiting, sequence);
    return sequence;
  }

  /**
   * Fills `plan` with the next step, which counts as submitted from now on. False: nothing can run before a token settles or a sequence
   * comes.
   */
  schedule(plan: Plan, mostPrefill: PrefillLimit = () => Number.POSITIVE_INFINITY): boolean {
    clearPlan(plan, this.#step + 1);
    for (const sequence of this.#running) this.#cache.offer(sequence, this.#step);
    const guessesAreOut = this.#running.some(({ held, options }) => held && options.output === "sample");
    if (!guessesAreOut) this.#speculator?.prepare(this.#running);
    this.#admitWaiting();
    this.#planRunning(plan, guessesAreOut, mostPrefill);
    if (plan.rowCount === 0) return false;
    this.#step = plan.step;
    return true;
  }

  /**
   * Takes a row from the latest plan, which was not submitted yet: its sequence computes and samples nothing in this step, and may run in the
   * next or be finished. A plan without rows is not to be submitted.
   */
  drop(plan: Plan, index: number): void {
    invariant(plan.step === this.#step && index < plan.rowCount, `step ${plan.step} has no row ${index} to drop`);
    const { sequence } = plan.rows[index]!;
    removeRow(plan, index);
    if (sequence.state === "finished") this.#cache.forget(plan.step); // its end named what the row would have written; nobody has looked since
  }

  /**
   * A submitted step has failed: what its rows should have written is garbage, and so is all that was computed from it since. Ends the
   * sequences that cannot go on, and returns them: those of its rows, and those that found such a page in the cache.
   */
  lose(plan: Plan): Sequence[] {
    const planned = new Set(plan.rows.slice(0, plan.rowCount).map(({ sequence }) => sequence));
    const lost = [...this.#running, ...this.#waiting].filter((sequence) => planned.has(sequence) || sequence.foundStep >= plan.step);
    this.#cache.forget(plan.step);
    for (const sequence of lost) this.#end(sequence);
    return lost;
  }

  /**
   * `tokens` [from, to), which one submitted row sampled or a processor chose, are known; rows of a sequence settle in their order. They
   * count for waiting (preempted) sequences, too, not for finished ones.
   */
  settle(sequence: Sequence, tokens: Int32Array, from: number, to: number): void {
    if (sequence.state === "finished") return;
    const guessed = sequence.asked[0]! - 1;
    receive(sequence, tokens, from, to);
    if (guessed > 0) {
      if (sequence.state === "running") this.#cache.shrink(sequence);
      this.#speculator?.settled(sequence, guessed, to - from - 1);
    }
    if (sequence.state === "waiting" && sequence.sampling === 0) this.#slots.giveBack(sequence);
  }

  /**
   * The choice of a sequence's token from its changed logits was submitted. Calls run in order: a step that is submitted from now on runs
   * after it and finds the token on the device, so the sequence may be planned before the token settles.
   */
  resume(sequence: Sequence): void {
    if (sequence.state === "finished") return;
    invariant(sequence.held && sequence.options.output === "logits", `sequence ${sequence.id} does not wait for a choice`);
    sequence.held = false;
  }

  /** Ends a sequence in any state, for any reason: its slot and pages go back. */
  finish(sequence: Sequence): void {
    if (sequence.state === "finished") return;
    this.#cache.offer(sequence, this.#step);
    this.#end(sequence);
  }

  /** What the scheduler holds at the moment, and what happened so far. */
  stats(): SchedulerStats {
    return {
      running: this.#running.length,
      waiting: this.#waiting.length,
      preemptions: this.#preemptions,
      prefixHits: this.#prefixHits,
      prefixQueries: this.#prefixQueries,
      groups: this.#cache.groups.map(({ config, pool }) => ({ ...config, used: pool.used, cached: pool.cached })),
    };
  }

  /** Throws INTERNAL on a broken invariant. Slow: for tests, after every operation. */
  checkIntegrity(): void {
    this.#cache.check(this.#running);
    this.#slots.check([...this.#running, ...this.#waiting]);
    checkWaiting(this.#waiting);
    checkRunning(this.#running);
  }

  /** Gives slots and pages to those that would run in this step. */
  #admitWaiting(): void {
    this.#newcomers.begin();
    for (let next = this.#newcomers.choose(); next !== undefined && this.#makeWay(next); next = this.#newcomers.choose()) this.#admit(next);
  }

  /** A slot and the cached pages for a waiting sequence. Others of lower priority give theirs back, the last by rank first, if that is enough. */
  #makeWay(sequence: Sequence): boolean {
    const { passed } = this.#newcomers;
    let isEnough: boolean | undefined;
    for (;;) {
      const hasSlot = this.#hasSlot(passed.length);
      if (hasSlot && this.#cache.attach(sequence, this.#running, passed)) return true;
      const lower = this.#running.filter(({ options }) => options.priority < sequence.options.priority);
      const last = hasSlot ? lower.at(-1) : lower.findLast((running) => !keepsSlot(running));
      if (last === undefined) return false;
      if (hasSlot) isEnough ??= this.#cache.mayFitWithout(lower);
      if (isEnough === false) return false;
      this.#preempt(last);
    }
  }

  /** A free slot beside `kept` others, and a token for its row in every step. Waiting sequences may hold slots. */
  #hasSlot(kept: number): boolean {
    return this.#slots.free > kept && this.#running.length + kept < this.#config.maxBatchTokens;
  }

  #planRunning(plan: Plan, guessesAreOut: boolean, mostPrefill: PrefillLimit): void {
    takeLogitTurns(this.#running, this.#config.logitRows ?? Number.POSITIVE_INFINITY, this.#candidates);
    let { kept, tokens } = shareTokens(this.#running, this.#config.maxBatchTokens, mostPrefill, this.#candidates); // kept for those after the current sequence
    for (let i = 0; i < this.#running.length; i++) {
      const sequence = this.#running[i]!;
      kept -= sequence.share;
      if (guessesAreOut && this.#speculator?.guesses(sequence)) continue;
      const [pending, budget] = [pendingTokens(sequence), tokens - plan.tokenCount - kept];
      const count = Math.min(pending, budget);
      if (count <= 0) continue;
      const end = this.#cache.cut(sequence, count);
      if (!this.#makeRoom(sequence, end)) return;
      const extras = guessesAreOut || pending > 1 ? undefined : this.#guesses?.plan(plan, sequence, end, budget, this.#running.length);
      addRow(plan, sequence, end - sequence.computed, extras);
    }
  }

  /** Takes the pages of the sequence's tokens before `end` from the last by rank, one after the other. False when it is the last itself. */
  #makeRoom(sequence: Sequence, end: number): boolean {
    while (!this.#cache.reserve(sequence, end)) {
      const last = this.#running.at(-1)!;
      if (last === sequence) return false;
      this.#preempt(last);
    }
    return true;
  }

  #preempt(sequence: Sequence): void {
    remove(this.#running, sequence);
    this.#cache.offer(sequence, this.#step);
    this.#cache.release(sequence);
    if (!keepsSlot(sequence)) this.#slots.giveBack(sequence);
    sequence.state = "waiting";
    sequence.expected = undefined;
    sequence.logitRows = Number.POSITIVE_INFINITY;
    sequence.preemptions += 1;
    this.#preemptions += 1;
    insert(this.#waiting, sequence);
  }

  #admit(sequence: Sequence): void {
    remove(this.#waiting, sequence);
    insert(this.#running, sequence);
    sequence.state = "running";
    this.#slots.take(sequence);
    sequence.expected = 0;
    sequence.share = pendingTokens(sequence);
    sequence.logitStep = this.#step;
    if (sequence.cachedTokens !== undefined) return;
    sequence.cachedTokens = sequence.computed;
    if (!this.#config.prefixCache || sequence.options.output === "score") return;
    this.#prefixHits += sequence.cachedTokens;
    this.#prefixQueries += sequence.promptLength;
  }

  #end(sequence: Sequence): void {
    remove(sequence.state === "running" ? this.#running : this.#waiting, sequence);
    this.#cache.release(sequence);
    this.#slots.giveBack(sequence);
    sequence.state = "finished";
    this.#speculator?.ended(sequence);
  }
}
