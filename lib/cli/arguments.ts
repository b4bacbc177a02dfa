import { invalid } from "../check.ts";

/** What the command line says beside its command: words, and options by name. */
export class Arguments {
  readonly words: readonly string[];
  /** Values in the order given; a flag's is "". */
  readonly #options: ReadonlyMap<string, readonly string[]>;

  constructor(words: readonly string[], options: ReadonlyMap<string, readonly string[]>) {
    this.words = words;
    this.#options = options;
  }

  has(option: string): boolean {
    return this.#options.has(option);
  }

  /** An option's value, the last one given. */
  text(option: string): string | undefined {
    return this.#options.get(option)?.at(-1);
  }

  /** All values of an option. */
  texts(option: string): readonly string[] | undefined {
    return this.#options.get(option);
  }

  number(option: string): number | undefined {
    const text = this.text(option);
    if (text === undefined) return undefined;
    const value = Number(text);
    if (text.trim() === "" || Number.isNaN(value)) throw invalid(`--${option}`, text, "a number");
    return value;
  }

  /** Whole numbers, each at least `min`, separated by commas or in an option for each. */
  integers(option: string, fallback: number[], min: number = 1): number[] {
    const given = this.texts(option)?.join();
    if (given === undefined) return fallback;
    const values = given.split(",").map((text) => (text.trim() === "" ? Number.NaN : Number(text)));
    if (values.every((value) => Number.isSafeInteger(value) && value >= min)) return values;
    throw invalid(`--${option}`, given, `whole numbers from ${min} on, separated by commas`);
  }
}
