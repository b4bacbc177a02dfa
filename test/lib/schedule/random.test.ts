import { expect, test } from "vitest";
import { maxContextOf } from "../../../lib/schedule/cache.ts";
import { createPlan } from "../../../lib/schedule/plan.ts";
import { Scheduler, type SchedulerConfig } from "../../../lib/schedule/scheduler.ts";
import type { Sequence, SequenceOptions } from "../../../lib/schedule/sequence.ts";
import { FakeDevice, Random, type RowResult, solo } from "./fake-device.ts";

const VOCABULARY = 3; // few tokens, so that prefixes are equal by chance, too
const WINDOWS = [[0], [0, 5], [7], [3, 0, 9], [0, 1]];

function randomConfig(random: Random): SchedulerConfig {
  const pageSize = random.pick([1, 2, 4, 5]);
  const maxBatchTokens = 1 + random.below(12);
  const maxContext = 12 + random.below(40);
  const groups = random.pick(WINDOWS).map((window) => {
    let pages = 1; // the fewest that the scheduler takes, and a few
    while (maxContextOf([{ window, pages }], pageSize, maxBatchTokens) < maxContext) pages += 1;
    return { window, pages: pages + random.below(1 + pages / 2) };
  });
  return { pageSize, maxBatchTokens, maxContext, groups, maxSlots: 1 + random.below(6), prefixCache: random.chance(0.7), modelId: "fake" };
}

function randomPrompt(random: Random, most: number): Int32Array {
  const length = 1 + random.below(most);
  const shared = random.below(length + 1);
  const base = random.below(VOCABULARY);
  return Int32Array.from({ length }, (_, i) => (i < shared ? (base + i) % VOCABULARY : random.below(VOCABULARY)));
}

/** Ways in which sequences ended, over all mixes. */
type Tally = Record<"done" | "waiting" | "prefill" | "decode" | "preempted" | "choosing" | "preemptions" | "hits" | "retries", number>;

/** One mix of requests on one engine, driven as the step loop drives it: at most two steps under way, results in order, aborts at any time. */
class Mix {
  readonly random: Random;
  readonly config: SchedulerConfig;
  readonly scheduler: Scheduler;
  readonly device: FakeDevice;
  readonly plan = createPlan();
  /** Sequences that have not ended, and what each gets alone. */
  readonly live = new Map<Sequence, ReturnType<typeof solo>>();
  /** Tokens of score sequences whose results have come. */
  readonly scored = new Map<Sequence, number>();
  /** Logits at processors. */
  readonly choosing: RowResult[] = [];
  /** Sequences that end at this token, as at an end-of-generation token. */
  readonly endTokens = new Map<Sequence, number>();
  readonly tally: Tally;
  abortShare = 0;

  constructor(seed: number, tally: Tally) {
    this.random = new Random(seed);
    this.config = randomConfig(this.random);
    this.scheduler = new Scheduler(this.config);
    this.device = new FakeDevice(this.config, VOCABULARY);
    this.tally = tally;
  }

  run(): void {
    let arrivals = 4 + this.random.below(8);
    this.abortShare = this.random.pick([0, 0, 0.03, 0.08]);
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
    const longest = output === "score" ? config.maxContext : config.maxContext - 1;
    const prompt = randomPrompt(random, random.chance(0.7) ? Math.floor(longest / 4) : longest);
    const maxTokens = output === "score" ? 0 : 1 + random.below(config.maxContext - prompt.length);
    const options: SequenceOptions = { prompt, maxTokens, output, priority: random.below(3), cacheSalt: random.pick(["", "", "salt"]) };
    const expected = solo(prompt, maxTokens, this.windows, VOCABULARY);
    const first = this.scheduler.add(options);
    this.live.set(first, expected);
    if (random.chance(0.2)) this.endTokens.set(first, random.below(VOCABULARY));
    if (output === "score" || random.chance(0.7)) return;
    for (let n = random.below(3); n >= 0; n--) this.live.set(this.scheduler.add({ ...options, after: first }), expected);
  }

  maybeAbort(): void {
    if (this.live.size === 0 || !this.random.chance(this.abortShare)) return;
    const preempted = [...this.live.keys()].filter(({ state, preemptions }) => state === "waiting" && preemptions > 0);
    const sequence = this.random.pick(preempted.length > 0 ? preempted : [...this.live.keys()]);
    const { state, awaitingToken, length, promptLength, preemptions } = sequence;
    if (state === "waiting") this.tally[preemptions > 0 ? "preempted" : "waiting"] += 1;
    else this.tally[awaitingToken ? "choosing" : length > promptLength ? "decode" : "prefill"] += 1;
    this.end(sequence);
  }

  turn(): void {
    this.maybeAbort();
    const planned = this.scheduler.schedule(this.plan);
    this.check();
    if (planned) {
      this.checkPlan();
      this.device.submit(this.plan);
    }
    this.maybeAbort();
    const { underWay } = this.device;
    if (underWay === 2 || (underWay === 1 && (!planned || this.random.chance(0.2))))
      for (const result of this.device.run()) this.settle(result);
    const idle = !planned && underWay === 0;
    if (idle && this.live.size > 0) expect(this.choosing.length, "nothing can run").toBeGreaterThan(0);
    if (this.choosing.length > 0 && (idle || this.random.chance(0.5))) this.choose();
  }

  settle(result: RowResult): void {
    const { sequence, start, output, states, token } = result;
    if (!this.live.has(sequence)) return;
    if (output === "sample") this.accept(sequence, token);
    else if (output === "score") this.score(sequence, start, states);
    else if (output === "logits" && sequence.state === "running") this.choosing.push(result);
    else if (output === "logits") {
      this.scheduler.retry(sequence);
      this.tally.retries += 1;
    }
    this.check();
  }

  /** A processor is done, in any order. */
  choose(): void {
    const [{ sequence, token }] = this.choosing.splice(this.random.below(this.choosing.length), 1) as [RowResult];
    if (!this.live.has(sequence)) return;
    if (sequence.state === "running") this.device.choose(sequence.slot, token);
    this.accept(sequence, token);
    this.check();
  }

  accept(sequence: Sequence, token: number): void {
    this.scheduler.settle(sequence, token);
    const { options, length, promptLength } = sequence;
    expect([...sequence.tokens.subarray(0, length)]).toEqual(this.live.get(sequence)!.tokens.slice(0, length));
    if (length - promptLength === options.maxTokens || token === this.endTokens.get(sequence)) {
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

  get windows(): number[] {
    return this.config.groups.map(({ window }) => window);
  }

  check(): void {
    this.scheduler.checkIntegrity();
  }

  checkPlan(): void {
    const rows = this.plan.rows.slice(0, this.plan.rowCount);
    expect(rows.every(({ count }) => count >= 1)).toBe(true);
    expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(this.plan.tokenCount);
    expect(this.plan.tokenCount).toBeLessThanOrEqual(this.config.maxBatchTokens);
    expect(new Set(rows.map(({ sequence }) => sequence)).size).toBe(rows.length);
    expect(rows.every(({ sequence }) => sequence.state === "running")).toBe(true);
    const wanted = ({ promptLength, options }: Sequence): number => promptLength + Math.max(0, options.maxTokens - 1);
    expect(rows.every(({ sequence, start, count }) => start + count <= wanted(sequence))).toBe(true);
  }
}

test("300 random mixes: every sequence gets the tokens that it gets alone, and everything is given back", { timeout: 30_000 }, () => {
  const tally: Tally = { done: 0, waiting: 0, prefill: 0, decode: 0, preempted: 0, choosing: 0, preemptions: 0, hits: 0, retries: 0 };
  for (let seed = 1; seed <= 300; seed++) {
    try {
      new Mix(seed, tally).run();
    } catch (error) {
      throw new Error(`mix ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
  // Each way to end, and each thing that could change tokens, really happened.
  for (const [what, count] of Object.entries(tally)) expect(count, what).toBeGreaterThan(5);
  expect(tally.preemptions).toBeGreaterThan(150);
});
