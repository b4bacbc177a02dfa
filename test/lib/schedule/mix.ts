import { expect } from "vitest";
import type { GroupPages } from "../../../lib/schedule/groups/group.ts";
import { createGroup } from "../../../lib/schedule/groups/index.ts";
import { createPlan, type Plan, type PlanRow } from "../../../lib/schedule/plan.ts";
import { Scheduler, type SchedulerConfig } from "../../../lib/schedule/scheduler.ts";
import { type Sequence, wantsLogits } from "../../../lib/schedule/sequence.ts";
import { FakeDevice, type Result, solo } from "./fake-device.ts";
import { Random, randomConfig, randomOptions, VOCABULARY } from "./random.ts";
import { RandomSpeculator } from "./random-speculator.ts";

/** Ways in which sequences ended, and what happened on the way, over all mixes. */
export type Tally = Record<
  "done" | "waiting" | "prefill" | "decode" | "preempted" | "choosing" | "preemptions" | "hits" | "keptSlots",
  number
>;

/** What went wrong on purpose, or was asked for by no scheduler yet, over all mixes. */
export type FaultTally = Record<
  "lostSteps" | "ofItsRows" | "foundIts" | "outlived" | "dropped" | "refused" | "guessed" | "void" | "cut",
  number
>;

/** Shares of turns, steps, rows or arrivals. */
export interface Shares {
  /** Without further choices of the same prompt. */
  alone: number;
  abort: number;
  lose: number;
  drop: number;
  guess: number;
}

/** One mix of requests on one engine, driven as the step loop drives it: at most two steps under way, results in order, aborts at any time. */
export class Mix {
  readonly random: Random;
  readonly config: SchedulerConfig;
  readonly scheduler: Scheduler;
  readonly device: FakeDevice;
  /** The one to be planned next, and those under way, oldest first. */
  readonly plans: Plan[] = [createPlan()];
  readonly sparePlans: Plan[] = [createPlan(), createPlan()];
  /** Sequences that have not ended, and what each gets alone. */
  readonly live = new Map<Sequence, ReturnType<typeof solo>>();
  /** Tokens of score sequences whose results have come. */
  readonly scored = new Map<Sequence, number>();
  /** Logits at processors. */
  readonly choosing: Result[] = [];
  /** Sequences that end at this token, as at an end-of-generation token. */
  readonly endTokens = new Map<Sequence, number>();
  /** The step that each sequence was last admitted to. */
  readonly admitted = new Map<Sequence, number>();
  readonly tally: Tally;
  readonly faults: FaultTally;
  readonly shares: Shares;
  /** Rows end at multiples of this. */
  readonly border: number;

  readonly speculator: RandomSpeculator;

  /** `faulty`: steps fail, rows are dropped, rows guess, rows are cut. */
  constructor(seed: number, faulty: boolean, tally: Tally, faults: FaultTally) {
    const random = new Random(seed);
    this.random = random;
    this.config = randomConfig(random);
    this.shares = faulty
      ? { alone: 0.3, abort: 0.01, lose: random.pick([0.02, 0.05, 0.1]), drop: random.pick([0, 0.05]), guess: random.pick([0, 0.4]) }
      : { alone: 0.7, abort: random.pick([0, 0, 0.03, 0.08]), lose: 0, drop: 0, guess: 0 };
    this.border = faulty ? random.pick([3, 2 ** 30]) : 2 ** 30;
    const hasDraft = this.config.groups.some(({ draft }) => draft);
    this.speculator = new RandomSpeculator(random, this.shares.guess, hasDraft, (sequence) => this.live.get(sequence)!.tokens);
    this.scheduler = new Scheduler(this.config, this.speculator, (config, index, sizes): GroupPages => {
      const cut = (start: number, end: number): number => Math.min(end, this.nextBorder(start));
      return Object.assign(createGroup(config, index, sizes), index === 0 ? { cut } : {});
    });
    this.device = new FakeDevice(this.config, VOCABULARY);
    this.tally = tally;
    this.faults = faults;
  }

  run(): void {
    let arrivals = 4 + this.random.below(8);
    for (let turn = 0; arrivals > 0 || this.live.size > 0; turn++) {
      expect(turn, "turns without an end").toBeLessThan(10_000);
      if (arrivals > 0 && (this.live.size === 0 || this.random.chance(0.4))) {
        this.add();
        this.check();
        arrivals -= 1;
      }
      this.turn();
    }
    const { running, waiting, groups, preemptions, prefixHits } = this.scheduler.stats();
    expect([running, waiting, ...groups.map(({ used }) => used)]).toEqual([0, 0, ...groups.map(() => 0)]);
    if (!this.config.prefixCache) expect(groups.every(({ cached }) => cached === 0)).toBe(true);
    this.tally.preemptions += preemptions;
    this.tally.hits += prefixHits;
  }

  add(): void {
    const { random, config } = this;
    const output = random.pick(["sample", "sample", "sample", "logits", "score"] as const);
    const options = randomOptions(random, output, config.maxContext);
    const windows = config.groups.filter(({ draft }) => !draft).map(({ window }) => window);
    const expected = solo(options, windows, VOCABULARY);
    const first = this.scheduler.add(options);
    this.live.set(first, expected);
    if (random.chance(0.2)) this.endTokens.set(first, random.below(VOCABULARY));
    if (output === "score" || random.chance(this.shares.alone)) return;
    for (let n = random.below(3); n >= 0; n--) this.live.set(this.scheduler.add({ ...options, after: first }), expected);
  }

  maybeAbort(): void {
    if (this.live.size === 0 || !this.random.chance(this.shares.abort)) return;
    const preempted = [...this.live.keys()].filter(({ state, preemptions }) => state === "waiting" && preemptions > 0);
    const sequence = this.random.pick(preempted.length > 0 ? preempted : [...this.live.keys()]);
    const { state, held, length, promptLength, preemptions } = sequence;
    if (state === "waiting") this.tally[preemptions > 0 ? "preempted" : "waiting"] += 1;
    else this.tally[held ? "choosing" : length > promptLength ? "decode" : "prefill"] += 1;
    this.end(sequence);
  }

  turn(): void {
    this.maybeAbort();
    const planned = this.scheduler.schedule(this.plans.at(-1)!);
    this.check();
    if (planned) this.submit();
    this.maybeAbort();
    const { stepsUnderWay } = this.device;
    if (stepsUnderWay === 2 || (stepsUnderWay === 1 && (!planned || this.random.chance(0.2)))) this.endStep();
    const idle = !planned && stepsUnderWay === 0;
    if (idle && this.live.size > 0)
      expect(this.choosing.length + (this.device.next === undefined ? 0 : 1), "nothing can run").toBeGreaterThan(0);
    if (this.device.next === "choice" && (idle || this.random.chance(0.5))) this.endCall();
    if (this.choosing.length > 0 && (idle || this.random.chance(0.5))) this.choose();
  }

  submit(): void {
    const plan = this.plans.at(-1)!;
    this.checkPlan(plan);
    for (const sequence of this.scheduler.running) if (sequence.slotIsNew) this.admitted.set(sequence, plan.step);
    this.drop(plan);
    if (plan.rowCount === 0) return;
    this.device.submit(plan);
    this.plans.push(this.sparePlans.pop()!);
  }

  /** Rows leave the plan: for once, or because their sequence ends, before or after. */
  drop(plan: Plan): void {
    for (let b = plan.rowCount - 1; b >= 0; b--) {
      if (!this.random.chance(this.shares.drop)) continue;
      const others = plan.rows.slice(0, plan.rowCount).filter((_, i) => i !== b);
      const { sequence } = plan.rows[b]!;
      const refused = this.random.chance(0.3);
      this.faults[refused ? "refused" : "dropped"] += 1;
      if (refused && this.random.chance(0.5)) this.end(sequence);
      this.scheduler.drop(plan, b);
      this.check();
      if (refused && this.live.has(sequence)) this.end(sequence);
      expect(plan.rows.slice(0, plan.rowCount)).toEqual(others);
      expect(plan.tokenCount).toBe(others.reduce((sum, { count }) => sum + count, 0));
    }
  }

  /** What comes back before the oldest step's results, and these, unless the step is lost. */
  endStep(): void {
    while (this.device.next === "choice") this.endCall();
    const plan = this.plans.shift()!;
    if (this.random.chance(this.shares.lose)) this.lose(plan);
    else this.endCall();
    this.sparePlans.push(plan);
  }

  endCall(): void {
    for (const result of this.device.run()) this.settle(result);
  }

  /** Exactly those end that had a row in the step and those that came in after it with what it should have written. */
  lose(plan: Plan): void {
    this.device.fail();
    const rows = plan.rows.slice(0, plan.rowCount).map(({ sequence }) => sequence);
    const lost = this.scheduler.lose(plan);
    this.check();
    expect(new Set(lost).size).toBe(lost.length);
    expect(rows.filter((sequence) => this.live.has(sequence) && !lost.includes(sequence))).toEqual([]);
    for (const sequence of lost) {
      expect(this.live.has(sequence)).toBe(true);
      const found = !rows.includes(sequence);
      if (found) expect(this.admitted.get(sequence)).toBeGreaterThan(plan.step);
      this.faults[found ? "foundIts" : "ofItsRows"] += 1;
      this.end(sequence);
    }
    this.faults.lostSteps += 1;
    this.faults.outlived += this.live.size;
  }

  settle(result: Result): void {
    const { sequence, start, output, states, tokens } = result;
    if (!this.live.has(sequence)) return;
    if (output === "score") this.score(sequence, start, states);
    else if (output === "logits") this.choosing.push(result);
    else if (tokens.length > 0) this.accept(sequence, tokens);
    if (output === "logits" && sequence.state === "waiting") this.tally.keptSlots += 1;
    this.check();
  }

  /** A processor is done, in any order. */
  choose(): void {
    const [{ sequence, tokens }] = this.choosing.splice(this.random.below(this.choosing.length), 1) as [Result];
    if (!this.live.has(sequence)) return;
    this.device.choose(sequence, tokens[0]!);
    this.scheduler.resume(sequence);
    this.check();
  }

  /** The tokens lie somewhere in a step's array of all. */
  accept(sequence: Sequence, tokens: Int32Array): void {
    const asked = sequence.asked[0]!;
    if (asked > 1) this.faults.guessed += tokens.length - 1;
    this.faults.void += asked - tokens.length;
    this.scheduler.settle(sequence, Int32Array.of(-1, ...tokens, -1), 1, 1 + tokens.length);
    const { options, length, promptLength, pages, computed, draftComputed, state } = sequence;
    if (asked > 1 && state === "running") {
      const ends = pages.map(({ first, count }) => first + count);
      const most = this.config.groups.map(({ draft }) => Math.ceil((draft ? draftComputed : computed) / this.config.pageSize));
      expect(ends, "pages of wrong guesses").toEqual(most);
    }
    expect([...sequence.tokens.subarray(0, length)]).toEqual(this.live.get(sequence)!.tokens.slice(0, length));
    const endToken = this.endTokens.get(sequence);
    if (length - promptLength === options.maxTokens || (endToken !== undefined && tokens.includes(endToken))) {
      this.tally.done += 1;
      this.end(sequence);
    }
  }

  score(sequence: Sequence, start: number, states: number[]): void {
    expect(start, "scored without a gap").toBeLessThanOrEqual(this.scored.get(sequence) ?? 0);
    this.scored.set(sequence, start + states.length);
    expect(states).toEqual(this.live.get(sequence)!.states.slice(start, start + states.length));
    if (start + states.length < sequence.promptLength) return;
    this.tally.done += 1;
    this.end(sequence);
  }

  end(sequence: Sequence): void {
    this.live.delete(sequence);
    this.scheduler.finish(sequence);
    this.scheduler.finish(sequence);
    this.check();
  }

  check(): void {
    this.scheduler.checkIntegrity();
  }

  checkPlan(plan: Plan): void {
    const rows = plan.rows.slice(0, plan.rowCount);
    expect(rows.every(({ count }) => count >= 1)).toBe(true);
    expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(plan.tokenCount);
    expect(plan.tokenCount).toBeLessThanOrEqual(this.config.maxBatchTokens);
    expect(new Set(rows.map(({ sequence }) => sequence)).size).toBe(rows.length);
    expect(rows.every(({ sequence }) => sequence.state === "running")).toBe(true);
    const wanted = ({ promptLength, options }: Sequence): number => promptLength + Math.max(0, options.maxTokens - 1);
    expect(rows.every(({ sequence, start, count }) => start + count <= wanted(sequence))).toBe(true);
    expect(rows.every(({ start, count }) => start + count <= this.nextBorder(start))).toBe(true);
    const outputs = { none: () => 0, sample: (row: PlanRow) => 1 + row.guesses, logits: () => 1, score: (row: PlanRow) => row.count };
    expect(rows.every((row) => row.outputs === outputs[row.output](row))).toBe(true);
    expect(rows.every(({ guesses, output, sequence }) => guesses === 0 || (output === "sample" && sequence.options.speculate))).toBe(true);
    const logitRows = rows.filter(({ sequence }) => wantsLogits(sequence)).reduce((sum, { outputs }) => sum + outputs, 0);
    expect(logitRows).toBeLessThanOrEqual(this.config.logitRows!);
    this.faults.cut += rows.filter(({ start, count, output }) => output === "none" && start + count === this.nextBorder(start)).length;
  }

  nextBorder(start: number): number {
    return (Math.floor(start / this.border) + 1) * this.border;
  }
}
