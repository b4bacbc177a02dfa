/** Why a template ended without a text. `line` is the template's, from 1. */
export class TemplateError extends Error {
  line: number | undefined;

  constructor(message: string, line?: number) {
    super(message);
    this.line = line;
  }
}

/** What one step of the interpreter costs. The unit is what it takes to copy a character with those around it: about a nanosecond, two bytes. */
export const STEP = 256;

/** What a character costs that is looked at by itself. */
export const LETTER = 64;

/** What a filter, a test, or the formatting of a value costs beyond its step. */
export const CALL: number = 4 * STEP;

/** What an element of a list, or another small object, costs. */
export const ITEM = 256;

/**
 * Bounds a rendering's time and memory by one number: every step costs, and so does every character and element that an operation walks
 * or makes. What is large is paid for before it is made.
 */
export class Meter {
  #left: number;

  constructor(units: number) {
    this.#left = units;
  }

  /** Units that may still be spent; less than 0 when more was asked for. */
  get left(): number {
    return this.#left;
  }

  /** Throws when nothing is left. */
  spend(units: number): void {
    this.#left -= units;
    if (!(this.#left >= 0)) throw new TemplateError("it takes too many steps or too much memory");
  }

  /** Leaves nothing: what used up JavaScript's stack isn't tried again. */
  drain(): void {
    this.#left = 0;
  }
}
