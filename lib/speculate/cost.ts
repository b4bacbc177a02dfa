/** Weights of what is measured last, faster than expected and slower: what disturbs a step makes it slower only. Chosen by trial. */
const FASTER = 0.5;
const SLOWER = 0.1;

/** Times that a size is measured until it counts as known: one may have been disturbed. */
const KNOWN = 4;

/** Sizes up to this have a place of their own in a {@link TimeTable}, larger ones share one with those within an eighth of an octave. */
const EXACT = 32;

/**
 * Times by size, measured one by one: what was not measured is taken from the sizes around it. The first time of each size does not count:
 * memory is touched and code compiled then.
 */
export class TimeTable {
  /** By place; with holes where nothing was measured. */
  readonly #ms: (number | undefined)[] = [];
  /** By place: the size that was measured last; likewise. */
  readonly #sizes: number[] = [];
  /** By place: how often it was measured, the first time included. */
  readonly #counts: number[] = [];

  /** It took `ms` at this size. */
  add(size: number, ms: number): void {
    const place = placeOf(size);
    const before = this.#ms[place];
    const count = this.#counts[place] ?? 0;
    this.#counts[place] = count + 1;
    if (count === 0) return;
    this.#sizes[place] = size;
    this.#ms[place] = before === undefined ? ms : before + (ms < before ? FASTER : SLOWER) * (ms - before);
  }

  /**
   * Milliseconds at this size: measured there, or on the line between the nearest that were; a larger size than any costs as much as the
   * largest until it is tried. NaN while nothing is known.
   */
  at(size: number): number {
    const place = placeOf(size);
    if (this.#ms[place] !== undefined) return this.#ms[place];
    let [below, above] = [place - 1, place + 1];
    while (below >= 0 && this.#ms[below] === undefined) below -= 1;
    while (above < this.#ms.length && this.#ms[above] === undefined) above += 1;
    const [least, most] = [this.#ms[below], this.#ms[above]];
    if (least === undefined || most === undefined) return least ?? most ?? Number.NaN;
    const share = (size - this.#sizes[below]!) / (this.#sizes[above]! - this.#sizes[below]!);
    return least + share * (most - least);
  }

  /** Whether this size was measured several times, or others below and above. */
  has(size: number): boolean {
    const place = placeOf(size);
    const isKnown = (count: number | undefined): boolean => count !== undefined && count >= KNOWN;
    return isKnown(this.#counts[place]) || (this.#counts.slice(0, place).some(isKnown) && this.#ms.length > place);
  }

  /** The largest size that was measured; 0 while none was. */
  get largest(): number {
    return this.#sizes.at(-1) ?? 0;
  }

  /** Sizes above this are to be measured anew. */
  forgetAbove(size: number): void {
    let places = Math.min(this.#ms.length, placeOf(size) + 1);
    while (places > 0 && this.#ms[places - 1] === undefined) places -= 1; // so that the last is the largest that was measured
    this.#ms.length = places;
    this.#sizes.length = places;
  }
}

function placeOf(size: number): number {
  return size <= EXACT ? size : Math.round(EXACT + 8 * Math.log2(size / EXACT));
}

/**
 * What steps cost, as measured while the engine runs. A step's time depends on its tokens, whose number decides how often weights are read
 * and how much is computed: on the CPU it is flat for a few and then rises, on a device it is flat for longer. What a pass of the draft
 * model takes follows from its size; what that is wrong by counts as part of the steps that have passes, by their tokens.
 */
export class StepCost {
  /** By tokens: steps of decoding rows; and those of them that guess nothing. */
  readonly #steps = new TimeTable();
  readonly #plain = new TimeTable();
  readonly #gaps = new TimeTable();
  /** For each token of a prompt. */
  readonly #prompts = new TimeTable();
  readonly #draftShare: number;

  /** `draftShare`: bytes of the draft model's weights by the model's. */
  constructor(draftShare: number) {
    this.#draftShare = draftShare;
  }

  /** A step of `rows` rows with `tokens` tokens took `ms`, with `passes` of the draft model over `drafting` rows before it. */
  add(rows: number, tokens: number, passes: number, drafting: number, ms: number): void {
    if (tokens === rows) this.#plain.add(rows, ms);
    const drafts = this.draftMs(passes, drafting);
    if (ms > drafts) this.#steps.add(tokens, ms - drafts);
  }

  /** A step took `ms` that computed `tokens` tokens, most of them of prompts. */
  addPrompt(tokens: number, ms: number): void {
    this.#prompts.add(0, ms / tokens);
  }

  /** Nothing ran for so long before a step, since it could not be planned earlier. */
  addGap(ms: number): void {
    this.#gaps.add(0, ms);
  }

  /** Whether steps of `rows` rows that guess nothing were measured, or of both fewer and more. */
  knows(rows: number): boolean {
    return this.#plain.has(rows);
  }

  /** Of a step of `rows` rows that guess nothing. NaN while none was measured. */
  plainMs(rows: number): number {
    return this.#plain.at(rows);
  }

  /** Tokens of the largest step that was measured. */
  get largest(): number {
    return this.#steps.largest;
  }

  /** Of a step of `tokens` tokens. NaN while none was measured. */
  stepMs(tokens: number): number {
    return this.#steps.at(tokens);
  }

  /** Of `passes` of the draft model over `rows` rows. */
  draftMs(passes: number, rows: number): number {
    return passes === 0 ? 0 : passes * this.#draftShare * this.plainMs(rows);
  }

  /** Of `tokens` tokens that the draft model lacks: its share of what prompts take, or while none was measured of what `rows` rows do. */
  lackMs(tokens: number, rows: number): number {
    const prompt = this.#prompts.at(0);
    return tokens === 0 ? 0 : tokens * this.#draftShare * (Number.isNaN(prompt) ? this.plainMs(rows) / rows : prompt);
  }

  /** Between a step and one that is planned from its results. */
  gapMs(): number {
    const gap = this.#gaps.at(0);
    return Number.isNaN(gap) ? 0 : gap;
  }

  /** Steps of more tokens with guesses are to be measured anew: what made them slow may be over. */
  forgetAbove(tokens: number): void {
    this.#steps.forgetAbove(tokens);
  }
}
