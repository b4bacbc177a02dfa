import { checkInteger } from "../check.ts";
import { KvasirError } from "../errors.ts";
import { type CacheConfig, type CacheGroupConfig, PagedCache } from "./cache.ts";
import { invariant } from "./pages.ts";
import { addRow, type Plan } from "./plan.ts";
import { insert, type Queue, rank, remove } from "./queue.ts";
import { appendToken, createSequence, pendingTokens, type Sequence, type SequenceOptions } from "./sequence.ts";

/** Sizes that hold as long as the scheduler. */
export interface SchedulerConfig extends CacheConfig {
  /** Sequences that run at once at most. */
  maxSlots: number;
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
 * Sequences are ranked: higher priority first, then first come. A step's budget of tokens goes
 *
 *     1. to running sequences, by rank. One token is kept for each that decodes, so a prompt never stalls a stream: it runs in chunks of
 *        what is left. When pages run out, the last by rank gives its own back and waits again (preemption); the last itself skips the step.
 *     2. to waiting sequences, by rank, while there are slots and pages. None overtakes one that has too little room, however small it is.
 *
 * So the first by rank of all that run makes progress in every step, and everything ends.
 */
export class Scheduler {
  readonly #config: SchedulerConfig;
  readonly #cache: PagedCache;
  /** Both by rank. */
  readonly #waiting: Queue = [];
  readonly #running: Queue = [];
  readonly #freeSlots: number[];
  #arrivals = 0;
  #preemptions = 0;
  #prefixHits = 0;
  #prefixQueries = 0;

  /** Throws INVALID_ARGUMENT when the pools are too small for one sequence of `maxContext` tokens. */
  constructor(config: SchedulerConfig) {
    this.#config = config;
    this.#cache = new PagedCache(config);
    this.#freeSlots = Array.from({ length: checkInteger("maxSlots", config.maxSlots, 1, 2 ** 20) }, (_, i) => config.maxSlots - 1 - i);
  }

  /** Sequences that wait for a slot and pages, by rank. */
  get waiting(): readonly Sequence[] {
    return this.#waiting;
  }

  /** Sequences that have a slot and pages, by rank. */
  get running(): readonly Sequence[] {
    return this.#running;
  }

  /** Queues a sequence. Throws PROMPT_EMPTY, PROMPT_TOO_LONG or INVALID_ARGUMENT when it could never run to its end. */
  add(options: SequenceOptions): Sequence {
    checkFits(options, this.#config.maxContext);
    const sequence = createSequence(options, this.#arrivals, this.#cache.groups.length);
    this.#arrivals += 1;
    insert(this.#waiting, sequence);
    return sequence;
  }

  /** Fills `plan` with the next step, which counts as submitted from now on. False: nothing can run before a token settles or a sequence comes. */
  schedule(plan: Plan): boolean {
    plan.rowCount = 0;
    plan.tokenCount = 0;
    for (const sequence of this.#running) this.#cache.offer(sequence);
    if (this.#planRunning(plan)) this.#planWaiting(plan);
    return plan.rowCount > 0;
  }

  /** A token that a submitted row sampled, or a processor chose, is known. It counts for waiting (preempted) sequences, too, not for finished ones. */
  settle(sequence: Sequence, token: number): void {
    if (sequence.state === "finished") return;
    invariant(sequence.sampling > 0, `sequence ${sequence.id} got token ${token} that no row sampled`);
    appendToken(sequence, token);
    sequence.sampling -= 1;
    sequence.awaitingToken = false;
  }

  /** The logits of a sequence that was preempted meanwhile are of no use: its slot is another's. The row runs again once it is back. */
  retry(sequence: Sequence): void {
    if (sequence.state !== "waiting" || !sequence.awaitingToken) return;
    sequence.sampling -= 1;
    sequence.awaitingToken = false;
  }

  /** Ends a sequence in any state, for any reason: its slot and pages go back. */
  finish(sequence: Sequence): void {
    if (sequence.state === "finished") return;
    remove(sequence.state === "running" ? this.#running : this.#waiting, sequence);
    if (sequence.state === "running") this.#vacate(sequence);
    sequence.state = "finished";
  }

  /** What the scheduler holds at the moment, and what happened so far. */
  stats(): SchedulerStats {
    return {
      running: this.#running.length,
      waiting: this.#waiting.length,
      preemptions: this.#preemptions,
      prefixHits: this.#prefixHits,
      prefixQueries: this.#prefixQueries,
      groups: this.#cache.groups.map(({ window, pool }) => ({ window, pages: pool.size, used: pool.used, cached: pool.cached })),
    };
  }

  /** Throws INTERNAL on a broken invariant. Slow: for tests, after every operation. */
  checkIntegrity(): void {
    this.#cache.check(this.#running);
    const slots = this.#running.map(({ slot }) => slot).concat(this.#freeSlots);
    invariant(new Set(slots).size === this.#config.maxSlots && slots.length === this.#config.maxSlots, "a slot is lost or given twice");
    for (const queue of [this.#waiting, this.#running]) {
      invariant(
        queue.every((sequence, i) => i === 0 || rank(queue[i - 1]!, sequence) < 0),
        "a queue is out of order",
      );
    }
    for (const { id, state, slot, computed, pages } of this.#waiting) {
      const holds = slot !== -1 || computed > 0 || pages.some(({ count }) => count > 0);
      invariant(state === "waiting" && !holds, `waiting sequence ${id} holds something`);
    }
    for (const { id, state, computed, length, sampling } of this.#running) {
      invariant(state === "running" && computed <= length + sampling, `running sequence ${id} computed more than its tokens`);
    }
  }

  /** False when a sequence lacked pages: then nobody new may take those that come free. */
  #planRunning(plan: Plan): boolean {
    const preemptions = this.#preemptions;
    let decodes = 0; // after the current sequence
    for (const sequence of this.#running) if (pendingTokens(sequence) === 1) decodes += 1;
    for (let i = 0; i < this.#running.length; i++) {
      const sequence = this.#running[i]!;
      const pending = pendingTokens(sequence);
      if (pending === 1) decodes -= 1;
      const count = Math.min(pending, this.#config.maxBatchTokens - plan.tokenCount - decodes);
      if (count <= 0) continue;
      if (!this.#makeRoom(sequence, count)) return false;
      addRow(plan, sequence, count);
    }
    return preemptions === this.#preemptions;
  }

  /** Takes the pages of the sequence's next `count` tokens from the last by rank, one after the other. False when it is the last itself. */
  #makeRoom(sequence: Sequence, count: number): boolean {
    while (!this.#cache.reserve(sequence, sequence.computed + count)) {
      const last = this.#running.at(-1)!;
      if (last === sequence) return false;
      this.#preempt(last);
    }
    return true;
  }

  #preempt(sequence: Sequence): void {
    this.#running.pop();
    this.#vacate(sequence);
    sequence.state = "waiting";
    sequence.preemptions += 1;
    this.#preemptions += 1;
    insert(this.#waiting, sequence);
  }

  #planWaiting(plan: Plan): void {
    const { maxBatchTokens, maxSlots } = this.#config;
    const mostRunning = Math.min(maxSlots, maxBatchTokens); // each can decode in every step
    for (let i = 0; i < this.#waiting.length; ) {
      const budget = maxBatchTokens - plan.tokenCount;
      if (budget === 0 || this.#running.length === mostRunning) return;
      const sequence = this.#waiting[i]!;
      if (!this.#isReady(sequence)) {
        i += 1;
        continue;
      }
      // A page more for each that runs: otherwise their next pages would soon cost the newcomer its own.
      if (!this.#cache.attach(sequence, this.#running.length)) return;
      this.#admit(sequence);
      const count = Math.min(pendingTokens(sequence), budget);
      invariant(this.#cache.reserve(sequence, sequence.computed + count), `sequence ${sequence.id} was admitted without room`);
      addRow(plan, sequence, count);
    }
  }

  /** Its tokens are all known, and what it should find in the cache is there. */
  #isReady(sequence: Sequence): boolean {
    const { after } = sequence.options;
    if (sequence.sampling > 0 || pendingTokens(sequence) === 0) return false;
    return (
      after === undefined || after.state === "finished" || after.offered >= Math.floor((after.promptLength - 1) / this.#config.pageSize)
    );
  }

  #admit(sequence: Sequence): void {
    remove(this.#waiting, sequence);
    insert(this.#running, sequence);
    sequence.state = "running";
    sequence.slot = this.#freeSlots.pop()!;
    sequence.slotIsNew = true;
    if (sequence.cachedTokens !== undefined) return;
    sequence.cachedTokens = sequence.computed;
    if (!this.#config.prefixCache || sequence.options.output === "score") return;
    this.#prefixHits += sequence.cachedTokens;
    this.#prefixQueries += sequence.promptLength;
  }

  #vacate(sequence: Sequence): void {
    this.#cache.release(sequence);
    this.#freeSlots.push(sequence.slot);
    sequence.slot = -1;
    sequence.slotIsNew = false;
  }
}

function checkFits({ prompt, maxTokens, output }: SequenceOptions, maxContext: number): void {
  const sampled = output === "score" ? 0 : 1;
  if (prompt.length === 0) throw new KvasirError("PROMPT_EMPTY", "the prompt has no token; at least one is right");
  if (prompt.length + sampled > maxContext) {
    throw new KvasirError(
      "PROMPT_TOO_LONG",
      `the prompt has ${prompt.length} tokens; at most ${maxContext - sampled} fit the context of ${maxContext}`,
    );
  }
  checkInteger("maxTokens", maxTokens, sampled, sampled === 0 ? 0 : maxContext - prompt.length);
}
