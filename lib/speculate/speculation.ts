import { countGuesses, type GuessCounts, pendingTokens, reserveTokens, type Sequence, tokensLeft } from "../schedule/sequence.ts";
import type { Speculator } from "../schedule/speculator.ts";
import { Acceptance, OVERALL_PACE, SEQUENCE_PACE } from "./acceptance.ts";
import { Allowance } from "./allowance.ts";
import { type Candidate, choose, type StepLimits } from "./decide.ts";
import type { Proposer } from "./proposer.ts";

/** Expected of a way of guessing before anything was tried. Chosen: high, so that it is tried. */
const FIRST_RATE = 0.8;

/**
 * Share of the time that sequences may take which try to guess though it would not pay, and of what is spent to measure sizes of steps anew
 * by guessing again. Chosen: both together under what measures vary by.
 */
const TRY_SHARE = 0.01;
const REFRESH_SHARE = 0.01;

/** Steps that it takes to measure a size anew. */
const REFRESH_STEPS = 2;

/** Tokens that a try guesses. */
const TRY_GUESSES = 2;

/** Of the tokens that a sequence may still get, so many are counted on: most end before their limit. Chosen. */
const EXPECTED_TOKENS = 256;

/** After so many decisions while some guess, a step goes without, to measure it. Chosen: it costs a token or two. */
const REFRESH_ON = 128;

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
 * Decides who guesses how much: so that more tokens come per millisecond than without, by what steps cost and by how often each sequence's
 * guesses were right. Where it doesn't pay, nobody guesses, and steps overlap as if there were no speculation; now and then it is tried again.
 */
export class Speculation implements Speculator {
  readonly #proposers: readonly Proposer[];
  readonly #limits: StepLimits;
  readonly #states = new Map<Sequence, State>();
  readonly #overall: Map<Proposer, Acceptance>;
  readonly #always: boolean;
  readonly #counts: GuessCounts = { rows: 0, guessed: 0, right: 0 };
  #isOn = false;
  #decisions = 0;
  readonly #tries = new Allowance(TRY_SHARE);
  readonly #refreshes = new Allowance(REFRESH_SHARE);

  /** `proposers`: the first that knows something guesses. `always`: whatever it costs, for tests. */
  constructor(proposers: readonly Proposer[], limits: StepLimits, always: boolean = false) {
    this.#proposers = proposers;
    this.#limits = limits;
    this.#always = always;
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
    const candidates: State[] = [];
    let others = 0;
    for (const sequence of running) {
      const state = pendingTokens(sequence) === 1 ? this.#propose(sequence) : undefined;
      if (state !== undefined && state.offered > 0) candidates.push(state);
      else if (pendingTokens(sequence) === 1) others += 1;
    }
    if (candidates.length > 0) this.#decide(candidates, others);
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
    const candidate = { offered: 0, rate: 0, guesses: 0, drafts: false, lack: 0, left: 1 };
    const state = { ...candidate, acceptance, by: undefined, unused: -1, unusedAt: -1, unusedBy: undefined };
    this.#states.set(sequence, state);
    return state;
  }

  #decide(candidates: State[], others: number): void {
    if (this.#always) {
      for (const state of candidates) state.guesses = state.offered;
      return;
    }
    this.#decisions += 1;
    if (this.#isOn && this.#decisions % REFRESH_ON === 0) return;
    const rows = candidates.length + others;
    if (!this.#isOn) this.#maybeRefresh(candidates, rows);
    this.#isOn = choose(candidates, others, this.#limits, this.#isOn);
    this.#maybeTry(candidates, rows);
    for (const state of candidates) if (state.guesses === 0) state.acceptance.get(state.by!)!.fade();
  }

  /** What made steps of more tokens slow may be over: what is known of them is forgotten, when the time to try them all has been saved up. */
  #maybeRefresh(candidates: readonly State[], rows: number): void {
    const { cost } = this.#limits;
    if (!cost.knows(rows)) return;
    this.#refreshes.earn(cost.stepMs(rows));
    const size = rows + candidates.length;
    const drafting = candidates.filter(({ drafts }) => drafts);
    const lack = drafting.reduce((sum, state) => sum + state.lack, 0);
    const drafts = cost.draftMs(drafting.length > 0 ? 1 : 0, drafting.length) + cost.lackMs(lack, size);
    if (this.#refreshes.spend(REFRESH_STEPS * cost.stepMs(size) + drafts)) cost.forgetAbove(rows);
  }

  /** Of those who are not to guess, one tries it once in a while, when the time that it takes has been saved up. */
  #maybeTry(candidates: readonly State[], rows: number): void {
    const { cost } = this.#limits;
    if (!cost.knows(rows)) return;
    this.#tries.earn(cost.stepMs(rows));
    for (const state of candidates) {
      if (state.guesses > 0) continue;
      const count = Math.min(state.offered, TRY_GUESSES);
      const drafts = state.drafts ? cost.draftMs(count, 1) + cost.lackMs(state.lack, rows) : 0;
      const ms = drafts + cost.stepMs(rows + count) - cost.stepMs(rows) + cost.stepMs(1) + cost.gapMs();
      if (!this.#tries.spend(ms)) continue;
      state.guesses = count;
      return;
    }
  }
}
