import { countGuesses, type GuessCounts, pendingTokens, reserveTokens, type Sequence, tokensLeft } from "../schedule/sequence.ts";
import type { Speculator } from "../schedule/speculator.ts";
import { Acceptance, OVERALL_PACE, SEQUENCE_PACE } from "./acceptance.ts";
import { type Candidate, choose, type StepLimits } from "./decide.ts";
import type { Proposer } from "./proposer.ts";

/** Expected of a way of guessing before anything was tried. Chosen: high, so that it is tried. */
const FIRST_RATE = 0.8;

/** Tokens after which a sequence that does not guess tries again; twice as many after each try. Chosen: a try costs some two steps. */
const FIRST_PAUSE = 64;
const LONGEST_PAUSE = 1024;

/** Tokens that a try guesses. */
const TRY_GUESSES = 2;

/** After so many decisions while nobody guesses, sizes of steps are measured anew by guessing again. Chosen: under 1 %. */
const REFRESH_OFF = 512;

/** After so many while some do, a step goes without, to measure it. Chosen: likewise, it costs a token or two. */
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
  /** Tokens since it last tried to guess though it would not pay, and when it does next. */
  waited: number;
  pause: number;
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
    const candidate = { offered: 0, rate: 0, guesses: 0, drafts: false };
    const state = { ...candidate, acceptance, by: undefined, unused: -1, unusedAt: -1, unusedBy: undefined, waited: 0, pause: FIRST_PAUSE };
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
    if (!this.#isOn && this.#decisions % REFRESH_OFF === 0) this.#limits.cost.forgetAbove(candidates.length + others);
    this.#isOn = choose(candidates, others, this.#limits, this.#isOn);
    for (const state of candidates) this.#maybeTry(state);
  }

  /** A sequence that is not to guess tries it once in a while. */
  #maybeTry(state: State): void {
    if (state.guesses > 0) {
      state.waited = 0;
      state.pause = FIRST_PAUSE;
    } else if (++state.waited >= state.pause) {
      state.waited = 0;
      state.pause = Math.min(2 * state.pause, LONGEST_PAUSE);
      state.guesses = Math.min(state.offered, TRY_GUESSES);
    }
  }
}
