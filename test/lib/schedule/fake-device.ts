import type { Plan, PlanRow, RowOutput } from "../../../lib/schedule/plan.ts";
import type { SchedulerConfig } from "../../../lib/schedule/scheduler.ts";
import type { Sequence, SequenceOptions } from "../../../lib/schedule/sequence.ts";

const mix = (h: number, value: number): number => {
  const x = Math.imul(h ^ value, 0x9e3779b1);
  return x ^ (x >>> 15);
};

/**
 * A model without arithmetic. The state of a position hashes its input and the states that each group's layers see before it, read from
 * the cache; the next token is taken from it. So one wrong page, slot, position or window anywhere changes what follows.
 */
function stateAt(position: number, input: number, windows: readonly number[], read: (group: number, position: number) => number): number {
  let state = mix(input, position);
  for (let g = 0; g < windows.length; g++) {
    const first = windows[g] === 0 ? 0 : Math.max(0, position - windows[g]! + 1);
    for (let p = first; p < position; p++) state = mix(state, read(g, p));
  }
  return state;
}

/** A token, or the media in its place, as the sequence's adapter sees it. */
function inputAt({ adapter, media }: SequenceOptions, position: number, token: number): number {
  const span = media.find(({ start, end }) => start <= position && position < end);
  const input = span === undefined ? token + 1 : mix(span.hash.charCodeAt(0), position - span.start);
  return adapter === "" ? input : mix(input, adapter.charCodeAt(0));
}

const tokenOf = (state: number, vocabulary: number): number => (state >>> 3) % vocabulary;

/** States and tokens of a sequence alone, without pages. */
export function solo(options: SequenceOptions, windows: readonly number[], vocabulary: number): { tokens: number[]; states: number[] } {
  const { prompt, maxTokens } = options;
  const tokens = [...prompt];
  const states: number[] = [];
  for (let p = 0; p < prompt.length + Math.max(maxTokens, 1) - 1; p++) {
    if (p === tokens.length) tokens.push(tokenOf(states[p - 1]!, vocabulary));
    states.push(stateAt(p, inputAt(options, p, tokens[p]!), windows, (_, position) => states[position]!));
  }
  if (maxTokens > 0) tokens.push(tokenOf(states.at(-1)!, vocabulary));
  return { tokens, states };
}

/** A row as packed when it was submitted. */
interface DeviceRow extends Omit<PlanRow, "count" | "draftCount"> {
  slot: number;
  slotIsNew: boolean;
  /** -1: the token that the slot sampled last. */
  tokens: number[];
  /** Those before the row as far as they are known, and what the draft model runs first. */
  before: number[];
  draftTokens: number[];
  pages: { first: number; ids: number[] }[];
}

/** A token that a processor chose. */
interface Choice {
  sequence: Sequence;
  slot: number;
  token: number;
}

/** What a call gives back for a sequence: of a row, a state for each of its tokens, and the tokens that follow the last one. */
export interface Result {
  sequence: Sequence;
  start: number;
  output: RowOutput | "choice";
  states: number[];
  tokens: Int32Array;
}

/**
 * Runs calls, steps and choices, in order, some time after they were made, in caches that only page tables address. The draft model's hold
 * what it has run, whose guesses are the row's.
 */
export class FakeDevice {
  readonly #config: SchedulerConfig;
  /** Groups of the model, and of its draft model. */
  readonly #own: number[];
  readonly #drafts: number[];
  readonly #vocabulary: number;
  readonly #caches: Int32Array[];
  readonly #lastToken: Int32Array;
  /** Whose state each slot holds. */
  readonly #owners: (Sequence | undefined)[] = [];
  readonly #calls: (DeviceRow[] | Choice)[] = [];

  constructor(config: SchedulerConfig, vocabulary: number) {
    this.#config = config;
    this.#vocabulary = vocabulary;
    const indices = [...config.groups.keys()];
    this.#own = indices.filter((g) => !config.groups[g]!.draft);
    this.#drafts = indices.filter((g) => config.groups[g]!.draft);
    this.#caches = config.groups.map(({ pages }) => new Int32Array(pages * config.pageSize).fill(-1));
    this.#lastToken = new Int32Array(config.maxSlots).fill(-1);
  }

  /** What the oldest call is. */
  get next(): "step" | "choice" | undefined {
    const call = this.#calls[0];
    return call === undefined ? undefined : Array.isArray(call) ? "step" : "choice";
  }

  get stepsUnderWay(): number {
    return this.#calls.filter((call) => Array.isArray(call)).length;
  }

  submit(plan: Plan): void {
    const rows = plan.rows.slice(0, plan.rowCount);
    this.#calls.push(rows.map((row) => this.#pack(row)));
    for (const { sequence } of rows) sequence.slotIsNew = false;
  }

  /** A token is chosen from a row's logits, by the state of the sequence's slot. */
  choose(sequence: Sequence, token: number): void {
    this.#calls.push({ sequence, slot: sequence.slot, token });
  }

  /** Ends the oldest call. A step's last row runs first: rows of one step must not depend on each other. */
  run(): Result[] {
    const call = this.#calls.shift()!;
    if (!Array.isArray(call)) return [this.#runChoice(call)];
    for (const { slot, slotIsNew, sequence } of call) if (slotIsNew) this.#owners[slot] = sequence;
    return call.reverse().map((row) => this.#runRow(row));
  }

  /** The oldest call, a step, fails: all that it should have written is garbage. */
  fail(): void {
    const rows = this.#calls.shift() as DeviceRow[];
    for (const row of rows) {
      if (row.slotIsNew) this.#owners[row.slot] = row.sequence;
      this.#lastToken[row.slot] = 1000;
      for (let i = 0; i < row.tokens.length; i++) this.#write(row, this.#own, row.start + i, 0xbad);
      const drafted = row.draftTokens.length + Math.max(0, row.drafts - 1);
      for (let i = 0; i < drafted; i++) this.#write(row, this.#drafts, row.draftStart + i, 0xbad);
    }
  }

  #pack({ sequence, start, count, output, outputs, guesses, draftStart, draftCount, drafts }: PlanRow): DeviceRow {
    const { slot, slotIsNew, length, tokens } = sequence;
    const known = [...tokens.subarray(0, length)];
    const isGuess = (i: number): boolean => i >= count - guesses;
    return {
      sequence,
      slot,
      slotIsNew,
      start,
      tokens: Array.from({ length: count }, (_, i) => (start + i < length || isGuess(i) ? tokens[start + i]! : -1)),
      output,
      outputs,
      guesses,
      draftStart,
      drafts,
      before: known.slice(0, draftStart),
      draftTokens: Array.from({ length: draftCount }, (_, i) => known[draftStart + i] ?? -1),
      pages: sequence.pages.map((table) => ({ first: table.first, ids: [...table.ids.subarray(0, table.count)] })),
    };
  }

  #runChoice({ sequence, slot, token }: Choice): Result {
    this.#checkOwner(slot, sequence);
    this.#lastToken[slot] = token;
    return { sequence, start: -1, output: "choice", states: [], tokens: Int32Array.of(token) };
  }

  #runRow(row: DeviceRow): Result {
    const { sequence, slot, start, tokens, output, outputs } = row;
    this.#checkOwner(slot, sequence);
    this.#runDraft(row);
    const windows = this.#own.map((g) => this.#config.groups[g]!.window);
    const states = tokens.map((token, i) => {
      const input = inputAt(sequence.options, start + i, token < 0 ? this.#lastToken[slot]! : token);
      const state = stateAt(start + i, input, windows, (w, position) => this.#read(row, this.#own[w]!, position));
      this.#write(row, this.#own, start + i, state);
      return state;
    });
    const sampled =
      output === "score" ? [] : this.#sample(states.slice(states.length - outputs), tokens.slice(tokens.length - outputs + 1));
    if (output === "sample") this.#lastToken[slot] = sampled.at(-1)!;
    return { sequence, start, output, states, tokens: Int32Array.from(sampled) };
  }

  /** The draft model finds the sequence's tokens in its cache, and adds those that it runs and all that it guesses but the last. */
  #runDraft(row: DeviceRow): void {
    const { sequence, slot, draftStart, draftTokens, drafts, tokens, guesses, before } = row;
    if (draftTokens.length === 0) return;
    const known = draftTokens.map((token) => (token < 0 ? this.#lastToken[slot]! : token));
    const guessed = tokens.slice(tokens.length - guesses).slice(0, Math.max(0, drafts - 1));
    if (drafts > 0 && draftStart + known.length !== row.start + tokens.length - guesses) throw new Error("drafts begin elsewhere");
    for (const g of this.#drafts) {
      if (sequence.state === "finished") continue; // ended since, by a step that failed before, perhaps
      for (const [p, token] of before.entries()) {
        if (this.#read(row, g, p) !== inputAt(sequence.options, p, token)) throw new Error(`the draft model finds another token at ${p}`);
      }
    }
    for (const [i, token] of [...known, ...guessed].entries()) {
      this.#write(row, this.#drafts, draftStart + i, inputAt(sequence.options, draftStart + i, token));
    }
  }

  /** What follows each state, until it differs from the guess that the next state was made of. */
  #sample(states: number[], guesses: number[]): number[] {
    const sampled = states.map((state) => tokenOf(state, this.#vocabulary));
    const wrong = guesses.findIndex((guess, i) => guess !== sampled[i]);
    return wrong < 0 ? sampled : sampled.slice(0, wrong + 1);
  }

  #read(row: DeviceRow, g: number, position: number): number {
    return this.#caches[g]![this.#address(row, g, position)]!;
  }

  #write(row: DeviceRow, groups: number[], position: number, state: number): void {
    for (const g of groups) this.#caches[g]![this.#address(row, g, position)] = state;
  }

  #address({ sequence, pages }: DeviceRow, g: number, position: number): number {
    const { pageSize } = this.#config;
    const page = pages[g]!.ids[Math.floor(position / pageSize) - pages[g]!.first];
    if (page === undefined) throw new Error(`sequence ${sequence.id} has no page for position ${position} in group ${g}`);
    return page * pageSize + (position % pageSize);
  }

  #checkOwner(slot: number, sequence: Sequence): void {
    if (this.#owners[slot] !== sequence) throw new Error(`slot ${slot} is sequence ${this.#owners[slot]?.id}'s, not ${sequence.id}'s`);
  }
}
