import { wellFormed } from "../tokenizer/codec.ts";
import { type JsonOptions, toJson } from "./json.ts";
import { Meter } from "./meter.ts";
import { MAX_DIGITS } from "./numbers.ts";
import { ofData, type Str } from "./strings.ts";
import { Dict, type Key, List, type Value } from "./values.ts";

/** Deepest nesting of what a template is given. Chosen: no chat is so deep, and what is deeper is most likely a cycle. */
export const MAX_DEPTH = 64;

/** What has no place in a template; `path` says where it stands. */
export class DataError extends Error {
  readonly value: unknown;
  readonly path: string;

  constructor(value: unknown, path: string, expected: string) {
    super(expected);
    this.value = value;
    this.path = path;
  }
}

/** A text that stands for the JSON object that it holds; what holds none stays a text. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A value that stands for its JSON text, as Python writes it. */
export class JsonOf {
  readonly value: unknown;

  constructor(value: unknown) {
    this.value = value;
  }
}

const ON_ONE_LINE: JsonOptions = { indent: undefined, separators: [ofData(", "), ofData(": ")], sortKeys: false, ensureAscii: false };

/** Turns JSON values into a template's, all of whose strings are data, and measures them. */
export class Importer {
  /** What was turned so far: strings, keys and other values, and the characters of strings. */
  values = 0;
  characters = 0;

  /** A value of JavaScript. Whole numbers become integers. Throws a {@link DataError}. */
  value(value: unknown, path: string, depth = 0): Value {
    if (typeof value === "string") return this.#string(value);
    this.values++;
    if (typeof value === "number") return Number.isInteger(value) && Math.abs(value) < 1e21 ? BigInt(String(value)) : value;
    if (value === null || value === undefined) return null;
    if (typeof value === "boolean" || typeof value === "bigint") return value;
    if (value instanceof JsonText) return this.#object(value.text);
    if (value instanceof JsonOf) return toJson(new Meter(Number.POSITIVE_INFINITY), this.value(value.value, path, depth), ON_ONE_LINE);
    if (depth >= MAX_DEPTH) throw new DataError(value, path, `nested at most ${MAX_DEPTH} deep`);
    if (Array.isArray(value)) return new List(Array.from(value, (element, i) => this.value(element, `${path}[${i}]`, depth + 1)));
    const { toJSON } = value as { toJSON?: unknown };
    if (typeof toJSON === "function") return this.value(toJSON.call(value), path, depth + 1);
    // Maps, sets and their like would lose what they hold.
    if (Object.prototype.toString.call(value) !== "[object Object]") throw new DataError(value, path, "a JSON value");
    return this.#dict(Object.entries(value), path, depth);
  }

  #dict(given: [string, unknown][], path: string, depth: number): Dict {
    const entries = new Map<Key, readonly [Value, Value]>();
    for (const [name, element] of given) {
      if (element === undefined) continue;
      const key = this.#string(name);
      entries.set(key.text, [key, this.value(element, `${path}.${name}`, depth + 1)]);
    }
    return new Dict(entries);
  }

  /** As Python's `json.loads` reads it: 1.0 stays a float, an integer keeps all its digits. */
  #object(text: string): Value {
    const reader = new JsonReader(text, (string) => this.#string(string));
    const value = reader.value(0);
    return reader.isAtEnd() && value instanceof Dict ? value : this.#string(text);
  }

  #string(text: string): Str {
    this.values++;
    this.characters += text.length;
    return ofData(wellFormed(text));
  }
}

const SPACE = /[ \t\n\r]*/y;
const PLAIN = '[^"\\\\\\0-\\x1f]*';
const STRING = new RegExp(`"${PLAIN}(?:\\\\(?:["\\\\/bfnrt]|u[\\da-fA-F]{4})${PLAIN})*"`, "y");
const NUMBER = /(-?(?:0|[1-9]\d*))(\.\d+)?([eE][+-]?\d+)?/y;
const WORD = /null|true|false|NaN|-?Infinity/y;

const WORDS: ReadonlyMap<string, Value> = new Map<string, Value>([
  ["null", null],
  ["true", true],
  ["false", false],
  ["NaN", Number.NaN],
  ["Infinity", Number.POSITIVE_INFINITY],
  ["-Infinity", Number.NEGATIVE_INFINITY],
]);

/** Reads one JSON value; `undefined` from there on where the text is none. */
class JsonReader {
  readonly #text: string;
  readonly #string: (text: string) => Str;
  #position = 0;
  #failed = false;

  constructor(text: string, string: (text: string) => Str) {
    this.#text = text;
    this.#string = string;
  }

  isAtEnd(): boolean {
    this.#match(SPACE);
    return !this.#failed && this.#position === this.#text.length;
  }

  value(depth: number): Value | undefined {
    this.#match(SPACE);
    const word = this.#match(WORD);
    if (word !== undefined) return WORDS.get(word[0]);
    const number = this.#match(NUMBER);
    if (number !== undefined) return this.#number(number);
    if (this.#text[this.#position] === '"') return this.#quoted();
    if (depth >= MAX_DEPTH) return this.#fail();
    if (this.#skip("[")) return this.#list(depth);
    return this.#skip("{") ? this.#dict(depth) : this.#fail();
  }

  #number([text, integer, fraction, exponent]: RegExpExecArray): Value | undefined {
    if (fraction !== undefined || exponent !== undefined) return Number(text);
    return integer!.length > MAX_DIGITS ? this.#fail() : BigInt(integer!);
  }

  #quoted(): Str | undefined {
    const text = this.#match(STRING)?.[0];
    return text === undefined ? this.#fail() : this.#string(JSON.parse(text) as string);
  }

  #list(depth: number): Value | undefined {
    const items: Value[] = [];
    if (this.#skip("]")) return new List(items);
    do {
      const item = this.value(depth + 1);
      if (item === undefined) return this.#fail();
      items.push(item);
    } while (this.#skip(","));
    return this.#skip("]") ? new List(items) : this.#fail();
  }

  /** Of equal keys the last value counts, in the first's place. */
  #dict(depth: number): Value | undefined {
    const entries = new Map<Key, readonly [Value, Value]>();
    if (this.#skip("}")) return new Dict(entries);
    do {
      this.#match(SPACE);
      const key = this.#quoted();
      const value = key !== undefined && this.#skip(":") ? this.value(depth + 1) : undefined;
      if (key === undefined || value === undefined) return this.#fail();
      entries.set(key.text, [key, value]);
    } while (this.#skip(","));
    return this.#skip("}") ? new Dict(entries) : this.#fail();
  }

  #skip(mark: string): boolean {
    this.#match(SPACE);
    const found = this.#text[this.#position] === mark;
    if (found) this.#position++;
    return found;
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#position;
    const match = pattern.exec(this.#text) ?? undefined;
    this.#position += match?.[0].length ?? 0;
    return match;
  }

  #fail(): undefined {
    this.#failed = true;
  }
}
