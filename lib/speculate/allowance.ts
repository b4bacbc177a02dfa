/** Of that time, what so many steps take is kept at most. Chosen: enough for a draft model to compute a prompt of some thousand tokens. */
const MOST_STEPS = 256;

/** Time for what may not pay: a small share of all, saved up and spent. */
export class Allowance {
  readonly #share: number;
  #saved = 0;

  constructor(share: number) {
    this.#share = share;
  }

  /** A step takes `ms`. */
  earn(ms: number): void {
    this.#saved = Math.min(this.#saved + this.#share * ms, MOST_STEPS * ms);
  }

  /** Takes `ms`, if so much was saved. */
  spend(ms: number): boolean {
    if (!(ms <= this.#saved)) return false;
    this.#saved -= ms;
    return true;
  }
}
