import { type ErrorCode, KvasirError, show } from "../errors.ts";

/** Ranges of hyper-parameters: wide enough for any model of today, narrow enough that sizes made of them stay far below 2^53. */
export const LIMITS: Readonly<
  Record<"layers" | "heads" | "headSize" | "hiddenSize" | "feedForwardSize" | "vocabSize" | "contextLength", number>
> = {
  layers: 1024,
  heads: 1024,
  headSize: 1024,
  hiddenSize: 65536,
  feedForwardSize: 1 << 20,
  vocabSize: 1 << 24,
  contextLength: 1 << 30,
};

/** The range of a number, ends included. */
export interface Range {
  min: number;
  max: number;
}

const DESCRIBED = { integer: "an integer", number: "a number", string: "a string", boolean: "true or false" } as const;

/** How an architecture's settings are called where they are not called as usual, and what those are that a file doesn't have. */
export interface ConfigForm {
  names?: Readonly<Record<string, string>>;
  defaults?: Readonly<Record<string, unknown>>;
  /** Values that say as little as an absent setting. */
  silent?: Readonly<Record<string, unknown>>;
}

/**
 * Settings of untrusted origin, read with checks: config.json's objects and GGUF's metadata look the same from here. A setting that is
 * absent takes the form's default; one that is null or has no such default takes the reader's, and is required if there is none.
 */
export class Config {
  /** Stands before keys in messages: "config.json: ", "model.gguf: llama.". */
  readonly place: string;
  readonly #get: (key: string) => unknown;
  readonly #form: ConfigForm;

  constructor(place: string, get: (key: string) => unknown, form: ConfigForm = {}) {
    this.place = place;
    this.#get = get;
    this.#form = form;
  }

  /** The same settings, read in another form. */
  as(form: ConfigForm): Config {
    return new Config(this.place, this.#get, form);
  }

  /** The same settings but one, which somebody else has read. */
  without(key: string): Config {
    return new Config(this.place, (each) => (each === key ? undefined : this.#get(each)), this.#form);
  }

  /** The settings of a JSON object. */
  static of(place: string, object: Readonly<Record<string, unknown>>): Config {
    return new Config(place, (key) => (Object.hasOwn(object, key) ? object[key] : undefined));
  }

  /** Whatever stands at `key`; `undefined` for null. */
  value(key: string): unknown {
    const stored = this.#get(this.nameOf(key));
    const says = stored !== undefined && stored !== this.#form.silent?.[key];
    return (says ? stored : this.#form.defaults?.[key]) ?? undefined;
  }

  has(key: string): boolean {
    return this.value(key) !== undefined;
  }

  integer(key: string, range: Range, fallback?: number): number {
    const value = this.value(key) ?? fallback;
    return typeof value === "number" && Number.isInteger(value) ? this.#inRange(key, value, range) : this.#refuse(key, "integer");
  }

  number(key: string, range: Range, fallback?: number): number {
    const value = this.value(key) ?? fallback;
    return typeof value === "number" ? this.#inRange(key, value, range) : this.#refuse(key, "number");
  }

  string(key: string, fallback?: string): string {
    const value = this.value(key) ?? fallback;
    return typeof value === "string" ? value : this.#refuse(key, "string");
  }

  boolean(key: string, fallback?: boolean): boolean {
    const value = this.value(key) ?? fallback;
    return typeof value === "boolean" ? value : this.#refuse(key, "boolean");
  }

  /** The object at `key`, unless there is nothing in it. */
  filledObject(key: string): Config | undefined {
    const object = this.object(key);
    return object !== undefined && Object.keys(this.value(key) as object).length > 0 ? object : undefined;
  }

  /** The object at `key`; `undefined` if there is none. */
  object(key: string): Config | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    if (typeof value !== "object" || Array.isArray(value)) throw this.unexpected(key, "an object");
    return Config.of(`${this.#placeOf(key)}.`, value as Record<string, unknown>);
  }

  /** An integer, or an array that gives every layer the same one (GGUF's form for sizes that could differ by layer). */
  uniform(key: string, range: Range, fallback?: number): number {
    const value = this.value(key);
    if (!Array.isArray(value) || value.length === 0) return this.integer(key, range, fallback);
    if (value.some((element) => element !== value[0])) throw this.unsupported(key, value, "layers of different sizes");
    return Config.of(this.place, { [this.nameOf(key)]: value[0] }).integer(this.nameOf(key), range);
  }

  /** Refuses features that would change the result and are not computed: settings that are present with another value than those harmless. */
  refuse(features: Readonly<Record<string, readonly unknown[]>>): void {
    for (const [key, harmless] of Object.entries(features)) {
      const value = this.value(key);
      if (value !== undefined && !harmless.includes(value)) throw this.unsupported(key, value);
    }
  }

  /** FILE_INVALID about a setting. */
  invalid(key: string, message: string): KvasirError {
    return new KvasirError("FILE_INVALID", `${this.#placeOf(key)} ${message}`);
  }

  /** About a setting that is absent, or isn't what it should be. */
  unexpected(key: string, expected: string, code: ErrorCode = "FILE_INVALID"): KvasirError {
    const value = this.value(key);
    return new KvasirError(code, `${this.#placeOf(key)} is ${value === undefined ? "missing" : show(value)}; expected ${expected}`);
  }

  /** UNSUPPORTED_MODEL about a setting. */
  unsupported(key: string, value: unknown, what: string = "models with this setting"): KvasirError {
    return new KvasirError("UNSUPPORTED_MODEL", `${this.#placeOf(key)} is ${show(value)}; kvasir does not run ${what}`);
  }

  /** What the file calls a setting. */
  nameOf(key: string): string {
    return this.#form.names?.[key] ?? key;
  }

  /** Where a setting is, for messages: names that are the file's own (of groups) may be anything. */
  #placeOf(key: string): string {
    const name = this.nameOf(key);
    return this.place + (/^[\w.]{1,80}$/.test(name) ? name : show(name));
  }

  #inRange(key: string, value: number, { min, max }: Range): number {
    if (!(value >= min && value <= max)) throw this.invalid(key, `is ${value}; expected ${min} to ${max}`);
    return value;
  }

  #refuse(key: string, type: keyof typeof DESCRIBED): never {
    throw this.unexpected(key, DESCRIBED[type]);
  }
}
