import { GuessMeter } from "../../../lib/run/guess-meter.ts";
import { StepClock } from "../../../lib/run/step-clock.ts";
import { createPlan, type Plan, type PlanRow } from "../../../lib/schedule/plan.ts";
import { Scheduler } from "../../../lib/schedule/scheduler.ts";
import type { Sequence } from "../../../lib/schedule/sequence.ts";
import { StepCost } from "../../../lib/speculate/cost.ts";
import { Governor } from "../../../lib/speculate/governor.ts";
import type { Proposer } from "../../../lib/speculate/proposer.ts";
import { Speculation } from "../../../lib/speculate/speculation.ts";
import { Random } from "../schedule/random.ts";
import { allOf, options } from "../schedule/support.ts";

/** What steps take on a made-up machine, in milliseconds. */
export interface Machine {
  /** A step of so many tokens. */
  stepMs: (tokens: number) => number;
  /** A pass of the draft model over one token of so many rows. */
  passMs: (rows: number) => number;
  /** A token that the draft model has to compute before its first pass. */
  lackMs: number;
  /** JavaScript between a step's end and the next plan. */
  gapMs: number;
  /** Of the draft model's weights by the model's. */
  draftShare: number;
  /** How much longer a step takes for each token that its rows have in the cache on average: a share (0). */
  growth?: number;
  /** How many times as long the first steps with guesses take, whose code and memory are cold (1). */
  cold?: number;
  /** How much longer the first step of each size takes, and the first that drafts for so many rows: a device records it (0). */
  recordMs?: number;
}

/** Who runs, and how well their tokens are guessed. */
export interface Load {
  /** Requests that guess, and that don't, one after the other in so many places each; or, in rounds, so many at once after the last ones. */
  guessing: number;
  plain: number;
  prompt: number;
  /** Of each request: at least and at most, evenly. */
  tokens: readonly [number, number];
  requests: number;
  rounds?: boolean;
  drafts: boolean;
  /** How likely a guess is right, at a time in milliseconds, of a sequence. */
  rate: (ms: number, sequence: Sequence) => number;
  /** Share of steps that take three times as long, since something else runs. */
  disturbed?: number;
  /** How many times as long steps take at a time, since something else runs. */
  slowness?: (ms: number) => number;
  /** So many steps are not counted. */
  warmUp?: number;
}

/** As the governor decides, or so many tokens in each step. */
export type Policy = "governed" | number;

/** Tokens per millisecond of the step loop on such a machine. */
export function simulate(machine: Machine, load: Load, policy: Policy): { speed: number; guessed: number; steps: number } {
  const simulation = new Simulation(machine, load, policy);
  return simulation.run();
}

interface Running {
  plan: Plan;
  submitted: number;
  end: number;
  recorded: boolean;
}

/** What every sequence goes on with. */
const TOKEN = 7;

/** Steps with guesses that are cold. */
const COLD_STEPS = 2;

class Simulation implements Proposer {
  readonly most: number;
  readonly drafts: boolean;
  readonly #machine: Machine;
  readonly #load: Load;
  readonly #random = new Random(1);
  readonly #clock: StepClock;
  readonly #scheduler: Scheduler;
  readonly #speculation: Speculation;
  /** How many guesses of a row are right. */
  readonly #right = new Map<Sequence, number>();
  #now = 0;
  #nativeFree = 0;
  #arrived = 0;
  #tokens = 0;
  #steps = 0;
  #coldSteps = COLD_STEPS;
  readonly #recorded = new Set<string>();
  /** When counting began. */
  #start = 0;

  constructor(machine: Machine, load: Load, policy: Policy) {
    this.#machine = machine;
    this.#load = load;
    this.drafts = load.drafts;
    this.most = policy !== "governed" ? policy : load.drafts ? 4 : 8;
    const cost = new StepCost(load.drafts ? machine.draftShare : 0);
    const governor = new Governor(cost);
    this.#clock = new StepClock([new GuessMeter(cost, governor)]);
    this.#speculation = new Speculation([this], { cost, maxBatchTokens: 512 }, policy === "governed" ? governor : undefined);
    const sizes = { pageSize: 16, maxBatchTokens: 512, maxSlots: 256, maxContext: 4096, prefixCache: false, modelId: "model" };
    this.#scheduler = new Scheduler(
      { ...sizes, groups: [allOf(4096), { ...allOf(4096), draft: true }] },
      policy === 0 ? undefined : this.#speculation,
    );
  }

  propose(sequence: Sequence, most: number): number {
    const rate = this.#load.rate(this.#now, sequence);
    let right = 0;
    while (right < most && this.#random.below(1000) < 1000 * rate) right += 1;
    this.#right.set(sequence, right);
    const end = sequence.length + sequence.sampling;
    for (let i = 0; i < most; i++) sequence.tokens[end + i] = i < right ? TOKEN : TOKEN + 1;
    return most;
  }

  lack({ length, sampling, draftComputed }: Sequence): number {
    return this.drafts ? Math.max(0, length + sampling - 1 - draftComputed) : 0;
  }

  ended(): void {}

  run(): { speed: number; guessed: number; steps: number } {
    this.#arriveAll();
    let running: Running | undefined;
    for (;;) {
      const plan = createPlan();
      const next = this.#scheduler.schedule(plan) ? this.#submit(plan) : undefined;
      if (running !== undefined) this.#finish(running);
      else if (next === undefined) break;
      running = next;
      if (this.#load.rounds && this.#scheduler.running.length + this.#scheduler.waiting.length === 0) this.#arriveAll();
    }
    return { speed: this.#tokens / (this.#now - this.#start), guessed: this.#speculation.counts.guessed, steps: this.#steps };
  }

  #arriveAll(): void {
    for (let place = 0; place < this.#load.guessing + this.#load.plain; place++) this.#arrive(place < this.#load.guessing);
  }

  #arrive(speculate: boolean): void {
    if (this.#arrived >= this.#load.requests) return;
    this.#arrived += 1;
    const [least, most] = this.#load.tokens;
    const maxTokens = least + ((this.#arrived * 61) % (most - least + 1));
    this.#scheduler.add(options(this.#load.prompt, { maxTokens, speculate }));
  }

  #submit(plan: Plan): Running {
    const rows = plan.rows.slice(0, plan.rowCount);
    const drafting = rows.filter(({ drafts }) => drafts > 0).length;
    const passes = Math.max(...rows.map(({ drafts }) => drafts));
    const noise = (this.#random.chance(this.#load.disturbed ?? 0) ? 3 : 1) * (1 + this.#random.below(10) / 100);
    const drafts =
      passes > 0 ? passes * this.#machine.passMs(drafting) + Math.max(0, plan.draftTokens - 2 * drafting) * this.#machine.lackMs : 0;
    const context = rows.reduce((sum, { start }) => sum + start, 0) / rows.length;
    const isCold = rows.some(({ guesses }) => guesses > 0) && this.#coldSteps-- > 0;
    const cold = (isCold ? (this.#machine.cold ?? 1) : 1) * (this.#load.slowness?.(this.#now) ?? 1);
    const ms = noise * cold * (1 + context * (this.#machine.growth ?? 0)) * (this.#machine.stepMs(plan.tokenCount) + drafts);
    const submitted = this.#now;
    const recordings = this.#record(plan.tokenCount, drafting);
    this.#nativeFree = Math.max(this.#now, this.#nativeFree) + ms + recordings * (this.#machine.recordMs ?? 0);
    return { plan, submitted, end: this.#nativeFree, recorded: this.#machine.recordMs !== undefined && recordings > 0 };
  }

  /** How many recordings a step needs that were not made before. */
  #record(tokens: number, drafting: number): number {
    const before = this.#recorded.size;
    this.#recorded.add(`${tokens} tokens`);
    if (drafting > 0) this.#recorded.add(`drafts of ${drafting} rows`);
    return this.#recorded.size - before;
  }

  #finish({ plan, submitted, end, recorded }: Running): void {
    this.#now = Math.max(this.#now, end);
    const rows = plan.rows.slice(0, plan.rowCount).filter(({ output }) => output === "sample");
    const counts = rows.map(({ sequence, guesses }: PlanRow) => 1 + Math.min(guesses, this.#right.get(sequence) ?? 0));
    const given = counts.reduce((sum, count) => sum + count, 0);
    this.#clock.done(plan, { submitted, now: this.#now, tokens: given, recorded });
    this.#now += this.#machine.gapMs;
    this.#count(rows, counts);
    for (const [b, { sequence }] of rows.entries()) {
      if (sequence.state === "finished") continue;
      const count = counts[b]!;
      this.#scheduler.settle(sequence, new Int32Array(count).fill(TOKEN), 0, count);
      if (sequence.length < sequence.promptLength + sequence.options.maxTokens) continue;
      this.#scheduler.finish(sequence);
      if (!this.#load.rounds) this.#arrive(sequence.options.speculate);
    }
  }

  #count(rows: readonly PlanRow[], counts: readonly number[]): void {
    for (const [b, { sequence }] of rows.entries()) if (sequence.state !== "finished") this.#tokens += counts[b]!;
    this.#steps += 1;
    if (this.#steps === this.#load.warmUp) [this.#tokens, this.#start] = [0, this.#now];
  }
}
