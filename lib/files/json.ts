import { basename } from "node:path";
import { isObject } from "../check.ts";
import { counted, KvasirError, KvasirWarning, show, type Warn } from "../errors.ts";
import { limitOf } from "./limits.ts";
import { fileSizeIfPresent } from "./paths.ts";
import { readText } from "./reader.ts";

/** JSON with exact numbers: an integer that a double doesn't hold is a bigint. Objects have no prototype. */
export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | JsonObject;

/** An object of JSON text; it has no prototype, so every key is a key. */
export interface JsonObject {
  [key: string]: JsonValue;
}

/** Deepest nesting that is read. Chosen: beyond that of any model's files, and far from where recursion would exhaust the stack. */
const MAX_DEPTH = 100;

/** How JSON is read. */
export interface JsonRules {
  /** With it, what Python reads besides is read, and told. */
  warn?: Warn;
  /** Numbers are integers without a fraction or exponent, and not -0: those of sizes. */
  wholeNumbers?: boolean;
  /** Bytes that the values may take, about; see {@link BYTES}. */
  memory?: number;
}

/** Bytes of V8's heap that values take beside their characters: as measured, with a slot in what holds them. */
const BYTES = { object: 200, array: 150, key: 96, string: 32, other: 24 } as const;

/** The object that a JSON file holds, within the limits of its name; typed errors for what is missing or malformed. */
export async function readJson(path: string, warn: Warn): Promise<JsonObject> {
  const { bytes, memory } = limitOf(basename(path));
  return parseJsonObject(await readText(path, bytes), path, { warn, memory });
}

/** As {@link readJson}; `undefined` if there is no such file. */
export async function readJsonIfPresent(path: string, warn: Warn): Promise<JsonObject | undefined> {
  return (await fileSizeIfPresent(path)) === undefined ? undefined : readJson(path, warn);
}

/** Parses text that must be an object; `path` stands in the messages. */
export function parseJsonObject(text: string, path: string, rules?: JsonRules): JsonObject {
  const value = parseJson(text, path, rules);
  if (!isJsonObject(value)) throw new KvasirError("FILE_INVALID", `${path} holds ${show(value)}; expected an object`);
  return value;
}

/** Whether a value is an object: no array, no null. */
export function isJsonObject(value: unknown): value is JsonObject {
  return isObject(value);
}

/**
 * Parses JSON as RFC 8259 has it, stricter than JSON.parse in two points where two readers of one file could see different things:
 * a key that stands twice is refused, and integers beyond 2^53 keep their value (as bigint).
 *
 * With `warn`, what Python's json writes or reads besides is read as it does, each kind told once: NaN and Infinity, fractions beyond the
 * range of a double (Infinity), keys that stand twice (the last wins). So is a byte-order mark, which some editors write.
 */
export function parseJson(text: string, path: string, rules: JsonRules = {}): JsonValue {
  return new Parser(text, path, rules).parse();
}

const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;
const LITERALS: readonly [text: string, value: null | boolean][] = [
  ["null", null],
  ["true", true],
  ["false", false],
];
/** Numbers that Python's json writes and RFC 8259 lacks. */
const PYTHON_NUMBERS: readonly [text: string, value: number][] = [
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
];

class Parser {
  readonly #text: string;
  readonly #path: string;
  readonly #warn: Warn | undefined;
  readonly #wholeNumbers: boolean;
  readonly #memory: number;
  readonly #told = new Set<string>();
  #at = 0;
  /** Bytes taken so far. */
  #taken = 0;

  constructor(text: string, path: string, { warn, wholeNumbers = false, memory = Number.POSITIVE_INFINITY }: JsonRules) {
    this.#text = text;
    this.#path = path;
    this.#warn = warn;
    this.#wholeNumbers = wholeNumbers;
    this.#memory = memory;
  }

  parse(): JsonValue {
    if (this.#warn !== undefined && this.#skip("\ufeff")) this.#tell("begins with a byte-order mark", "it is passed over");
    const value = this.#value(0);
    this.#space();
    if (this.#at < this.#text.length) throw this.#error("the end");
    return value;
  }

  #value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw this.#error(`at most ${MAX_DEPTH} levels`);
    this.#space();
    const character = this.#text[this.#at];
    if (character === "{") return this.#object(depth);
    if (character === "[") return this.#array(depth);
    if (character === '"') return this.#string(BYTES.string);
    this.#take(BYTES.other);
    for (const [literal, value] of LITERALS) if (this.#skip(literal)) return value;
    return this.#pythonNumber() ?? this.#number();
  }

  #object(depth: number): JsonObject {
    const object: JsonObject = Object.create(null);
    this.#take(BYTES.object);
    this.#at++;
    this.#space();
    if (this.#skip("}")) return object;
    do {
      this.#space();
      if (this.#text[this.#at] !== '"') throw this.#error("a key");
      const key = this.#string(BYTES.key);
      if (key in object) this.#twice(key);
      this.#space();
      if (!this.#skip(":")) throw this.#error('":"');
      object[key] = this.#value(depth + 1);
      this.#space();
    } while (this.#skip(","));
    if (!this.#skip("}")) throw this.#error('"," or "}"');
    return object;
  }

  #array(depth: number): JsonValue[] {
    const array: JsonValue[] = [];
    this.#take(BYTES.array);
    this.#at++;
    this.#space();
    if (this.#skip("]")) return array;
    do {
      array.push(this.#value(depth + 1));
      this.#space();
    } while (this.#skip(","));
    if (!this.#skip("]")) throw this.#error('"," or "]"');
    return array;
  }

  /** A string literal, found by its closing quote; JSON.parse then decodes and checks it. */
  #string(bytes: number): string {
    let end = this.#at + 1;
    while (this.#text[end] !== '"') {
      if (end >= this.#text.length) throw this.#error("a string that ends");
      end += this.#text[end] === "\\" ? 2 : 1;
    }
    const literal = this.#text.slice(this.#at, end + 1);
    this.#take(bytes + literal.length);
    try {
      const value: string = JSON.parse(literal);
      this.#at = end + 1;
      return value;
    } catch {
      throw this.#error("a valid string");
    }
  }

  #twice(key: string): void {
    if (this.#warn === undefined) throw new KvasirError("FILE_INVALID", `${this.#path}: key ${show(key)} stands twice in an object`);
    this.#tell("has keys that stand twice", `the last one counts, as for ${show(key)}`);
  }

  #pythonNumber(): number | undefined {
    if (this.#warn === undefined) return undefined;
    const found = PYTHON_NUMBERS.find(([literal]) => this.#skip(literal));
    if (found !== undefined) this.#tell("has NaN or Infinity", "they are read as Python does");
    return found?.[1];
  }

  #number(): number | bigint {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) throw this.#error("a value");
    this.#at = NUMBER.lastIndex;
    const [literal, fraction, exponent] = match;
    const number = Number(literal);
    if (this.#wholeNumbers && (fraction !== undefined || exponent !== undefined || Object.is(number, -0)))
      throw new KvasirError("FILE_INVALID", `${this.#path}: the number ${show(literal)} stands for a size; expected digits alone`);
    if (!Number.isFinite(number)) this.#tooLarge(literal, fraction !== undefined || exponent !== undefined);
    if (fraction !== undefined || exponent !== undefined || Number.isSafeInteger(number)) return number;
    return BigInt(literal);
  }

  #tooLarge(literal: string, isFraction: boolean): void {
    if (this.#warn === undefined || !isFraction)
      throw new KvasirError("FILE_INVALID", `${this.#path}: ${show(literal)} is too large for a number`);
    this.#tell("has numbers beyond the range of a double", `they are infinite, as ${show(literal)}`);
  }

  /** Tells once of each kind. */
  #tell(what: string, reading: string): void {
    if (this.#told.has(what)) return;
    this.#told.add(what);
    this.#warn?.(new KvasirWarning("KVASIR_FILE_IRREGULAR", `${this.#path} ${what}; ${reading}`));
  }

  #take(bytes: number): void {
    this.#taken += bytes;
    if (this.#taken > this.#memory)
      throw new KvasirError(
        "FILE_INVALID",
        `${this.#path} has more values than ${counted(this.#memory, "byte")} of memory hold, up to character ${this.#at}; expected fewer`,
      );
  }

  #space(): void {
    while (/* RFC 8259's four */ " \n\r\t".includes(this.#text[this.#at] ?? "x")) this.#at++;
  }

  #skip(literal: string): boolean {
    if (!this.#text.startsWith(literal, this.#at)) return false;
    this.#at += literal.length;
    return true;
  }

  #error(expected: string): KvasirError {
    const found = this.#at < this.#text.length ? show(this.#text.slice(this.#at, this.#at + 20)) : "the end of the text";
    return new KvasirError("FILE_INVALID", `${this.#path}: ${found} at character ${this.#at}; expected ${expected}`);
  }
}
