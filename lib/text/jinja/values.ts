import { TemplateError } from "./meter.ts";
import { ofData, type Str } from "./strings.ts";

/**
 * What a template computes with: None, booleans, integers (of any size) and floats, strings, and objects of this folder. Nothing of
 * JavaScript can be reached from them: attributes and methods are looked up in tables, keys of dicts in maps.
 */
export type Value = null | boolean | bigint | number | Str | Thing;

/** What a call is given. */
export interface ArgumentValues {
  positional: readonly Value[];
  named: ReadonlyMap<string, Value>;
}

/** An object. */
export abstract class Thing {
  /** As Python names its type. */
  abstract readonly typeName: string;

  /** An attribute that isn't a method of its type's table. */
  attribute(_name: string): Value | undefined {
    return undefined;
  }

  /** Present where it can be called. */
  readonly call?: (given: ArgumentValues) => Value;
}

/** A list; nothing changes it. */
export class List extends Thing {
  readonly typeName: string = "list";
  readonly items: readonly Value[];

  constructor(items: readonly Value[]) {
    super();
    this.items = items;
  }
}

/** A tuple, whose elements may have names. */
export class Tuple extends Thing {
  readonly typeName = "tuple";
  readonly items: readonly Value[];
  readonly #names: readonly string[];

  constructor(items: readonly Value[], names: readonly string[] = []) {
    super();
    this.items = items;
    this.#names = names;
  }

  override attribute(name: string): Value | undefined {
    return this.items[this.#names.indexOf(name)];
  }
}

/** What finds a key in a map; equal keys have the same. */
export type Key = string | bigint | number | null | object;

/** A dict: keys and values by {@link Key}, in the order in which they came. */
export class Dict extends Thing {
  readonly typeName = "dict";
  readonly entries: ReadonlyMap<Key, readonly [key: Value, value: Value]>;

  constructor(entries: ReadonlyMap<Key, readonly [key: Value, value: Value]>) {
    super();
    this.entries = entries;
  }

  /** Keys or values, or both as tuples. */
  list(part: "keys" | "values" | "items"): Value[] {
    const choose = ([key, value]: readonly [Value, Value]): Value =>
      part === "keys" ? key : part === "values" ? value : new Tuple([key, value]);
    return Array.from(this.entries.values(), choose);
  }
}

/** What `keys()`, `values()` and `items()` of a dict give. */
export class DictView extends Thing {
  readonly dict: Dict;
  readonly part: "keys" | "values" | "items";

  constructor(dict: Dict, part: "keys" | "values" | "items") {
    super();
    this.dict = dict;
    this.part = part;
  }

  get typeName(): string {
    return `dict_${this.part}`;
  }
}

/** Integers from `start` on, `length` of them, all on this side of `stop`. */
export class IntegerRange extends Thing {
  readonly typeName = "range";
  readonly start: bigint;
  readonly stop: bigint;
  readonly step: bigint;
  readonly length: number;

  constructor(start: bigint, stop: bigint, step: bigint) {
    super();
    this.start = start;
    this.stop = stop;
    this.step = step;
    const span = step > 0n ? stop - start + step - 1n : stop - start + step + 1n;
    this.length = Math.max(0, Number(span / step));
  }

  /** The integer at an index. */
  at(index: number): bigint {
    return this.start + BigInt(index) * this.step;
  }
}

/** What can be walked once: a generator. */
export class Lazy extends Thing {
  readonly typeName: string;
  readonly iterator: Iterator<Value, unknown, undefined>;

  constructor(iterator: Iterator<Value, unknown, undefined>, typeName = "generator") {
    super();
    this.iterator = iterator;
    this.typeName = typeName;
  }
}

/** Bytes, as `encode` gives them. */
export class Bytes extends Thing {
  readonly typeName = "bytes";
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    super();
    this.bytes = bytes;
  }
}

/** `start:stop:step` between brackets. */
export class Slice extends Thing {
  readonly typeName = "slice";
  readonly bounds: readonly Value[];

  constructor(bounds: readonly Value[]) {
    super();
    this.bounds = bounds;
  }
}

/** What isn't there: empty where it is printed or walked, false, and an error in any other use. */
export class Undefined extends Thing {
  readonly typeName = "Undefined";
  readonly #reason: () => string;

  /** `reason` is asked for where it is used: most are only tested for. */
  constructor(reason: () => string) {
    super();
    this.#reason = reason;
  }

  /** Throws what it lacks. */
  fail(): never {
    throw new TemplateError(this.#reason());
  }
}

/** A function of this folder or of the host. */
export class NativeFunction extends Thing {
  readonly typeName = "builtin_function_or_method";
  override readonly call: (given: ArgumentValues) => Value;

  constructor(call: (given: ArgumentValues) => Value) {
    super();
    this.call = call;
  }
}

/** Variables that assignments of a block further in may change. */
export class Namespace extends Thing {
  readonly typeName = "Namespace";
  readonly values: Map<string, Value>;

  constructor(values: Map<string, Value>) {
    super();
    this.values = values;
  }

  override attribute(name: string): Value | undefined {
    return this.values.get(name);
  }
}

/** The type of a value as Python names it. */
export function typeName(value: Value): string {
  if (value === null) return "NoneType";
  switch (typeof value) {
    case "boolean":
      return "bool";
    case "bigint":
      return "int";
    case "number":
      return "float";
    default:
      return value instanceof Thing ? value.typeName : value.markup ? "Markup" : "str";
  }
}

/** A dict whose keys are strings of nobody's. */
export function dictOf(entries: Iterable<readonly [string, Value]>): Dict {
  const map = new Map<Key, readonly [Value, Value]>();
  for (const [key, value] of entries) map.set(key, [ofData(key), value]);
  return new Dict(map);
}

/** Throws Python's TypeError. */
export function typeError(message: string): never {
  throw new TemplateError(message);
}
