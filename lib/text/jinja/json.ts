import { ITEM, type Meter } from "./meter.ts";
import { floatText } from "./numbers.ts";
import { hex } from "./print.ts";
import { compare } from "./sequences.ts";
import { Builder, Str } from "./strings.ts";
import { Dict, List, Tuple, typeError, typeName, type Value } from "./values.ts";

/** Options of `json.dumps`. */
export interface JsonOptions {
  /** What a level is indented by; on one line if `undefined`. */
  indent: Str | undefined;
  /** Between elements, and between a key and its value. */
  separators: readonly [Str, Str];
  sortKeys: boolean;
  ensureAscii: boolean;
}

/** `json.dumps(value)`. Its punctuation counts as data, strings keep their origins. */
export function toJson(meter: Meter, value: Value, options: JsonOptions): Str {
  const writer = new JsonWriter(meter, options);
  writer.write(value, 0);
  return writer.out.done();
}

class JsonWriter {
  readonly out: Builder;
  readonly #meter: Meter;
  readonly #options: JsonOptions;

  constructor(meter: Meter, options: JsonOptions) {
    this.out = new Builder(meter);
    this.#meter = meter;
    this.#options = options;
  }

  write(value: Value, depth: number): void {
    this.#meter.spend(2 * ITEM);
    if (value instanceof Str) this.#string(value);
    else if (value instanceof List || value instanceof Tuple) this.#list(value.items, depth);
    else if (value instanceof Dict) this.#dict(value, depth);
    else this.out.write(scalarJson(value) ?? typeError(`Object of type ${typeName(value)} is not JSON serializable`));
  }

  #string(string: Str): void {
    this.out.write('"');
    for (const part of string.parts()) {
      const escaped = JSON.stringify(part.text).slice(1, -1);
      this.out.write(this.#options.ensureAscii ? escaped.replace(/[^ -~]/g, escapedUnit) : escaped, part.written === true);
    }
    this.out.write('"');
  }

  #list(items: readonly Value[], depth: number): void {
    if (items.length === 0) {
      this.out.write("[]");
      return;
    }
    this.out.write("[");
    for (const [i, item] of items.entries()) {
      this.#startItem(i, depth + 1);
      this.write(item, depth + 1);
    }
    this.#newline(depth);
    this.out.write("]");
  }

  #dict({ entries }: Dict, depth: number): void {
    if (entries.size === 0) {
      this.out.write("{}");
      return;
    }
    const pairs = [...entries.values()];
    if (this.#options.sortKeys) pairs.sort(([a], [b]) => compare(this.#meter, a, b, "<"));
    this.out.write("{");
    for (const [i, [key, value]] of pairs.entries()) {
      this.#startItem(i, depth + 1);
      this.#key(key);
      this.out.add(this.#options.separators[1]);
      this.write(value, depth + 1);
    }
    this.#newline(depth);
    this.out.write("}");
  }

  #key(key: Value): void {
    if (key instanceof Str) this.#string(key);
    else this.out.write(`"${scalarJson(key) ?? typeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`)}"`);
  }

  #startItem(index: number, depth: number): void {
    if (index > 0) this.out.add(this.#options.separators[0]);
    this.#newline(depth);
  }

  #newline(depth: number): void {
    const { indent } = this.#options;
    if (indent !== undefined) this.out.write("\n").repeat(indent, depth);
  }
}

function scalarJson(value: Value): string | undefined {
  if (value === null) return "null";
  if (typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (typeof value !== "number") return undefined;
  if (Number.isFinite(value)) return floatText(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity";
}

function escapedUnit(unit: string): string {
  return `\\u${hex(unit.charCodeAt(0), 4)}`;
}
