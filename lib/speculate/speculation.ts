import { countGuesses, type GuessCounts, pendingTokens, reserveTokens, type Sequence, tokensLeft } from "../schedule/sequence.ts";
import type { Speculator } from "../schedule/speculator.ts";
import { Acceptance, OVERALL_PACE, SEQUENCE_PACE } from "./acceptance.ts";
import { type Candidate, choose, EXPECTED_TOKENS, type StepLimits } from "./decide.ts";
import type { Governor, Permission } from "./governor.ts";
import type { Proposer } from "./proposer.ts";

/** Expected of a way of guessing before anything was tried. Chosen: high, so that it is tried. */
const FIRST_RATE = 0.8;

/** What is known of a sequence that may guess. */
interface State extends Candidate {
  readonly acceptance: Map<Proposer, Acceptance>;
  /** Whose guesses stand behind its tokens, and those of the row that is under way. */
  by: Proposer | undefined;
  /** The first guess of a lookup that was not run, its place (-1: there is none) and whose it was. */
  unused: number;
  unusedAt: number;
  unusedBy: Proposer | undefined;
}

/**
 * Decides who guesses how much, while the governor has it that guessing pays: so that most tokens come per millisecond, by what steps cost and
 * by how often each sequence's guesses were right. While it doesn't pay, nobody guesses, and steps overlap as if there were no speculation.
 */
export class Speculation implements Speculator {
  readonly #proposers: readonly Proposer[];
  readonly #limits: StepLimits;
  readonly #states = new Map<Sequence, State>();
  readonly #overall: Map<Proposer, Acceptance>;
  readonly #governor: Governor | undefined;
  readonly #counts: GuessCounts = { rows: 0, guessed: 0, right: 0 };

  /** `proposers`: the first that knows something guesses. Without a governor all guess whatever it costs, for tests. */
  constructor(proposers: readonly Proposer[], limits: StepLimits, governor: Governor | undefined) {
    this.#proposers = proposers;
    this.#limits = limits;
    this.#governor = governor;
    this.#overall = new Map(proposers.map((proposer) => [proposer, new Acceptance(OVERALL_PACE)]));
  }

  /** All guesses so far. */
  get counts(): Readonly<GuessCounts> {
    return this.#counts;
  }

  /** Nobody guesses beside a prompt: such a step computes as much as it can already, and a guess costs as much as a token. */
  prepare(running: readonly Sequence[]): void {
    for (const state of this.#states.values()) state.guesses = 0;
    if (running.some((sequence) => pendingTokens(sequence) > 1)) return;
    const ready = running.filter((sequence) => pendingTokens(sequence) === 1);
    if (ready.length === 0) return;
    const permission = this.#governor === undefined ? "all" : this.#governor.decide(ready.length, this.#unusedRate());
    if (permission === "none" && this.#proposers.every(({ drafts }) => drafts)) return;
    const candidates = this.#candidates(ready);
    if (candidates.length > 0 && permission !== "none") this.#decide(candidates, ready.length - candidates.length, permission);
  }

  /**
   * Those that could guess. What a draft model would have to compute before has to be within what the governor allows, all in all; where it
   * is not for most of them there are none: a few beside many don't show whether it pays.
   */
  #candidates(ready: readonly Sequence[]): State[] {
    const { cost } = this.#limits;
    const allowance = this.#governor?.allowance ?? Number.POSITIVE_INFINITY;
    const candidates: State[] = [];
    let [lackMs, behind] = [0, 0];
    for (const sequence of ready) {
      const state = this.#propose(sequence);
      if (state === undefined || state.offered === 0) continue;
      const ms = cost.lackMs(state.lack, ready.length);
      if (lackMs + ms > allowance) {
        behind += 1;
        continue;
      }
      lackMs += ms;
      candidates.push(state);
    }
    return behind > candidates.length ? [] : candidates;
  }

  /** How often guesses are right that are known though they don't run: those of lookup. */
  #unusedRate(): number {
    const rates = this.#proposers.filter(({ drafts }) => !drafts).map((proposer) => this.#overall.get(proposer)!.rate(FIRST_RATE));
    return Math.max(0, ...rates);
  }

  guesses(sequence: Sequence): boolean {
    return (this.#states.get(sequence)?.guesses ?? 0) > 0;
  }

  drafts(sequence: Sequence): boolean {
    return this.#states.get(sequence)?.drafts ?? false;
  }

  guess(sequence: Sequence, most: number): number {
    const state = this.#states.get(sequence);
    if (state === undefined || state.guesses === 0) return 0;
    state.unusedAt = -1;
    return Math.min(most, state.guesses);
  }

  settled(sequence: Sequence, guessed: number, right: number): void {
    const state = this.#states.get(sequence)!;
    this.#learn(state, state.by!, guessed, right);
    countGuesses(this.#counts, guessed, right);
  }

  #learn({ acceptance }: State, by: Proposer, guessed: number, right: number): void {
    acceptance.get(by)!.add(guessed, right);
    this.#overall.get(by)!.add(guessed, right);
  }

  ended(sequence: Sequence): void {
    if (!sequence.options.speculate) return;
    for (const proposer of this.#proposers) proposer.ended(sequence);
    this.#states.delete(sequence);
  }

  #propose(sequence: Sequence): State | undefined {
    if (!sequence.options.speculate || sequence.options.output !== "sample") return undefined;
    const state = this.#states.get(sequence) ?? this.#newState(sequence);
    this.#checkUnused(sequence, state);
    state.offered = 0;
    for (const proposer of this.#proposers) {
      const most = Math.min(proposer.most, tokensLeft(sequence) - 1);
      if (most <= 0) continue;
      reserveTokens(sequence, sequence.sampling + most);
      state.offered = proposer.propose(sequence, most);
      if (state.offered === 0) continue;
      state.by = proposer;
      state.drafts = proposer.drafts;
      state.lack = proposer.lack(sequence);
      state.left = Math.min(tokensLeft(sequence), EXPECTED_TOKENS);
      state.rate = state.acceptance.get(proposer)!.rate(this.#overall.get(proposer)!.rate(FIRST_RATE));
      state.logRate = Math.log(state.rate);
      break;
    }
    this.#noteUnused(sequence, state);
    return state;
  }

  /** A draft model guesses nothing that is not run. */
  #noteUnused({ tokens, length, sampling }: Sequence, state: State): void {
    if (state.offered === 0 || state.drafts || state.unusedAt >= 0) return;
    state.unusedAt = length + sampling;
    state.unused = tokens[state.unusedAt]!;
    state.unusedBy = state.by;
  }

  /** A guess that was found and not run tells as much as one that was, once its place has a token. */
  #checkUnused({ tokens, length }: Sequence, state: State): void {
    const { unusedAt, unused, unusedBy } = state;
    if (unusedAt < 0 || unusedAt >= length) return;
    this.#learn(state, unusedBy!, 1, tokens[unusedAt] === unused ? 1 : 0);
    state.unusedAt = -1;
  }

  #newState(sequence: Sequence): State {
    const acceptance = new Map(this.#proposers.map((proposer) => [proposer, new Acceptance(SEQUENCE_PACE)]));
    const candidate = { offered: 0, rate: 0, logRate: 0, guesses: 0, drafts: false, lack: 0, left: 1 };
    const state = { ...candidate, acceptance, by: undefined, unused: -1, unusedAt: -1, unusedBy: undefined };
    this.#states.set(sequence, state);
    return state;
  }

  #decide(candidates: State[], others: number, permission: Exclude<Permission, "none"> | "all"): void {
    if (permission === "chosen") choose(candidates, others, this.#limits);
    else for (const state of candidates) state.guesses = permission === "one" ? 1 : state.offered;
    const guessing = candidates.filter(({ guesses }) => guesses > 0).length;
    this.#governor?.decided(guessing > 0);
    if (guessing < candidates.length) for (const state of candidates) if (state.guesses === 0) state.acceptance.get(state.by!)!.fade();
  }
}
