import { StepClock } from "../../../lib/run/step-clock.ts";
import { createPlan, type Plan } from "../../../lib/schedule/plan.ts";
import { Scheduler } from "../../../lib/schedule/scheduler.ts";
import type { Sequence } from "../../../lib/schedule/sequence.ts";
import { StepCost } from "../../../lib/speculate/cost.ts";
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
}

/** Who runs, and how well their tokens are guessed. */
export interface Load {
  /** Requests that guess, and that don't, one after the other in so many places each. */
  guessing: number;
  plain: number;
  prompt: number;
  tokens: number;
  requests: number;
  drafts: boolean;
  /** How likely a guess is right, at a time in milliseconds. */
  rate: (ms: number) => number;
  /** Share of steps that take three times as long, since something else runs. */
  disturbed?: number;
}

/** Tokens per millisecond of the step loop on such a machine, with guesses or without. */
export function simulate(machine: Machine, load: Load, guesses: boolean): { speed: number; guessed: number } {
  const simulation = new Simulation(machine, load, guesses);
  return simulation.run();
}

/** What every sequence goes on with. */
const TOKEN = 7;

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

  constructor(machine: Machine, load: Load, guesses: boolean) {
    this.#machine = machine;
    this.#load = load;
    this.drafts = load.drafts;
    this.most = load.drafts ? 4 : 8;
    const cost = new StepCost(load.drafts ? machine.draftShare : 0);
    this.#clock = new StepClock(cost);
    this.#speculation = new Speculation([this], { cost, maxBatchTokens: 512 });
    const sizes = { pageSize: 16, maxBatchTokens: 512, maxSlots: 256, maxContext: 4096, prefixCache: false, modelId: "model" };
    this.#scheduler = new Scheduler(
      { ...sizes, groups: [allOf(4096), { ...allOf(4096), draft: true }] },
      guesses ? this.#speculation : undefined,
    );
  }

  propose(sequence: Sequence, most: number): number {
    const rate = this.#load.rate(this.#now);
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

  run(): { speed: number; guessed: number } {
    for (let place = 0; place < this.#load.guessing + this.#load.plain; place++) this.#arrive(place < this.#load.guessing);
    let running: { plan: Plan; submitted: number; end: number } | undefined;
    for (;;) {
      const plan = createPlan();
      const next = this.#scheduler.schedule(plan) ? this.#submit(plan) : undefined;
      if (running !== undefined) this.#finish(running.plan, running.submitted, running.end);
      else if (next === undefined) break;
      running = next;
    }
    return { speed: this.#tokens / this.#now, guessed: this.#speculation.counts.guessed };
  }

  #arrive(speculate: boolean): void {
    if (this.#arrived >= this.#load.requests) return;
    this.#arrived += 1;
    this.#scheduler.add(options(this.#load.prompt, { maxTokens: this.#load.tokens, speculate }));
  }

  #submit(plan: Plan): { plan: Plan; submitted: number; end: number } {
    const rows = plan.rows.slice(0, plan.rowCount);
    const drafting = rows.filter(({ drafts }) => drafts > 0).length;
    const passes = Math.max(...rows.map(({ drafts }) => drafts));
    const noise = (this.#random.chance(this.#load.disturbed ?? 0) ? 3 : 1) * (1 + this.#random.below(10) / 100);
    const drafts =
      passes > 0 ? passes * this.#machine.passMs(drafting) + Math.max(0, plan.draftTokens - 2 * drafting) * this.#machine.lackMs : 0;
    const ms = noise * (this.#machine.stepMs(plan.tokenCount) + drafts);
    const submitted = this.#now;
    this.#nativeFree = Math.max(this.#now, this.#nativeFree) + ms;
    return { plan, submitted, end: this.#nativeFree };
  }

  #finish(plan: Plan, submitted: number, end: number): void {
    this.#now = Math.max(this.#now, end);
    this.#clock.done(plan, submitted, this.#now);
    this.#now += this.#machine.gapMs;
    for (const { sequence, output, guesses } of plan.rows.slice(0, plan.rowCount)) {
      if (output !== "sample" || sequence.state === "finished") continue;
      const count = 1 + Math.min(guesses, this.#right.get(sequence) ?? 0);
      this.#tokens += count;
      this.#scheduler.settle(sequence, new Int32Array(count).fill(TOKEN), 0, count);
      if (sequence.length < sequence.promptLength + sequence.options.maxTokens) continue;
      this.#scheduler.finish(sequence);
      this.#arrive(sequence.options.speculate);
    }
  }
}
