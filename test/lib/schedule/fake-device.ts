import type { Plan, RowOutput } from "../../../lib/schedule/plan.ts";
import type { SchedulerConfig } from "../../../lib/schedule/scheduler.ts";
import type { Sequence } from "../../../lib/schedule/sequence.ts";

/** Uniform numbers from a seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A whole number in [0, n). */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let x = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * n);
  }

  chance(share: number): boolean {
    return this.below(1000) < share * 1000;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }
}

const mix = (h: number, value: number): number => {
  const x = Math.imul(h ^ value, 0x9e3779b1);
  return x ^ (x >>> 15);
};

/**
 * A model without arithmetic. The state of a position hashes its token and the states that each group's layers see before it, read from
 * the cache; the next token is taken from it. So one wrong page, slot, position or window anywhere changes what follows.
 */
function stateAt(position: number, token: number, windows: readonly number[], read: (group: number, position: number) => number): number {
  let state = mix(token + 1, position);
  for (let g = 0; g < windows.length; g++) {
    const first = windows[g] === 0 ? 0 : Math.max(0, position - windows[g]! + 1);
    for (let p = first; p < position; p++) state = mix(state, read(g, p));
  }
  return state;
}

export const tokenOf = (state: number, vocabulary: number): number => (state >>> 3) % vocabulary;

/** States and tokens of a sequence alone, without pages. */
export function solo(
  prompt: Int32Array,
  maxTokens: number,
  windows: readonly number[],
  vocabulary: number,
): { tokens: number[]; states: number[] } {
  const tokens = [...prompt];
  const states: number[] = [];
  for (let p = 0; p < prompt.length + Math.max(maxTokens, 1) - 1; p++) {
    if (p === tokens.length) tokens.push(tokenOf(states[p - 1]!, vocabulary));
    states.push(stateAt(p, tokens[p]!, windows, (_, position) => states[position]!));
  }
  if (maxTokens > 0) tokens.push(tokenOf(states.at(-1)!, vocabulary));
  return { tokens, states };
}

/** A row as packed when it was submitted. */
interface DeviceRow {
  sequence: Sequence;
  slot: number;
  start: number;
  /** -1: the token that the slot sampled last. */
  tokens: number[];
  output: RowOutput;
  pages: { first: number; ids: number[] }[];
}

/** What a row gives back: a state for each of its tokens, and the token that follows the last one. */
export interface RowResult {
  sequence: Sequence;
  start: number;
  output: RowOutput;
  states: number[];
  token: number;
}

/** Runs steps in order, some time after they were planned, in caches that only page tables address. */
export class FakeDevice {
  readonly #config: SchedulerConfig;
  readonly #vocabulary: number;
  readonly #caches: Int32Array[];
  readonly #lastToken: Int32Array;
  readonly #steps: DeviceRow[][] = [];

  constructor(config: SchedulerConfig, vocabulary: number) {
    this.#config = config;
    this.#vocabulary = vocabulary;
    this.#caches = config.groups.map(({ pages }) => new Int32Array(pages * config.pageSize).fill(-1));
    this.#lastToken = new Int32Array(config.maxSlots).fill(-1);
  }

  get underWay(): number {
    return this.#steps.length;
  }

  submit(plan: Plan): void {
    const rows = plan.rows.slice(0, plan.rowCount);
    for (const { sequence } of rows) sequence.slotIsNew = false;
    this.#steps.push(rows.map(({ sequence, start, count, output }) => this.#pack(sequence, start, count, output)));
  }

  /** Ends the oldest step. Its last row runs first: rows of one step must not depend on each other. */
  run(): RowResult[] {
    return this.#steps
      .shift()!
      .reverse()
      .map((row) => this.#runRow(row));
  }

  /** A token was chosen from a row's logits. */
  choose(slot: number, token: number): void {
    this.#lastToken[slot] = token;
  }

  #pack(sequence: Sequence, start: number, count: number, output: RowOutput): DeviceRow {
    const { slot, length, tokens } = sequence;
    return {
      sequence,
      slot,
      start,
      output,
      tokens: Array.from({ length: count }, (_, i) => (start + i < length ? tokens[start + i]! : -1)),
      pages: sequence.pages.map((table) => ({ first: table.first, ids: [...table.ids.subarray(0, table.count)] })),
    };
  }

  #runRow({ sequence, slot, start, tokens, output, pages }: DeviceRow): RowResult {
    const { pageSize, groups } = this.#config;
    const windows = groups.map(({ window }) => window);
    const address = (g: number, position: number): number => {
      const page = pages[g]!.ids[Math.floor(position / pageSize) - pages[g]!.first];
      if (page === undefined) throw new Error(`sequence ${sequence.id} has no page for position ${position} in group ${g}`);
      return page * pageSize + (position % pageSize);
    };
    const read = (g: number, position: number): number => this.#caches[g]![address(g, position)]!;
    const states = tokens.map((token, i) => {
      const state = stateAt(start + i, token < 0 ? this.#lastToken[slot]! : token, windows, read);
      for (let g = 0; g < groups.length; g++) this.#caches[g]![address(g, start + i)] = state;
      return state;
    });
    const token = tokenOf(states.at(-1)!, this.#vocabulary);
    if (output === "sample") this.#lastToken[slot] = token;
    return { sequence, start, output, states, token };
  }
}
