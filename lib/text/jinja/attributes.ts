import { BYTES_METHODS, DICT_METHODS, NUMBER_METHODS, SEQUENCE_METHODS } from "./container-methods.ts";
import { formatMethod, namedBy } from "./format-method.ts";
import { ITEM, type Meter } from "./meter.ts";
import type { Method } from "./native.ts";
import { toIndex } from "./numbers.ts";
import { nameOfType, repr } from "./print.ts";
import { keyOf } from "./sequences.ts";
import { STRING_METHODS } from "./string-methods.ts";
import { Builder, ofData, Str } from "./strings.ts";
import {
  type ArgumentValues,
  Bytes,
  Dict,
  IntegerRange,
  List,
  NativeFunction,
  Slice,
  Thing,
  Tuple,
  typeError,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** What would change a list, or a dict, which a template may not. */
const LIST_MUTATING = new Set(["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"]);
const DICT_MUTATING = new Set(["clear", "pop", "popitem", "setdefault", "update"]);

/** `object.name`: the attribute or method of that name, else the item. */
export function getAttribute(meter: Meter, object: Value, name: string): Value {
  if (object instanceof Undefined) object.fail();
  const attribute = attributeOf(meter, object, name);
  if (attribute !== undefined) return attribute;
  const entry = object instanceof Dict ? object.entries.get(name) : undefined;
  return entry === undefined ? new Undefined(() => `${nameOfType(object)} has no attribute '${name}'`) : entry[1];
}

/** `object | attr(name)`: the attribute or method alone. */
export function getAttributeOnly(meter: Meter, object: Value, name: string): Value {
  if (object instanceof Undefined) object.fail();
  const attribute = attributeOf(meter, object, name);
  return attribute === undefined ? new Undefined(() => `${nameOfType(object)} has no attribute '${name}'`) : attribute;
}

/** `object[key]`: the item, else the attribute or method of that name. */
export function getItem(meter: Meter, object: Value, key: Value): Value {
  if (object instanceof Undefined) object.fail();
  const item = itemOf(meter, object, key);
  if (item !== undefined) return item;
  const attribute = key instanceof Str ? attributeOf(meter, object, key.text) : undefined;
  return attribute === undefined ? lacking(meter, object, key) : attribute;
}

function lacking(meter: Meter, object: Value, key: Value): Undefined {
  const what = key instanceof Str ? "attribute" : "element";
  return new Undefined(() => `${nameOfType(object)} has no ${what} ${repr(meter, key).text}`);
}

function attributeOf(meter: Meter, object: Value, name: string): Value | undefined {
  if (object instanceof Str && (name === "format" || name === "format_map")) return formatOf(meter, object, name);
  const method = methodsOf(object)?.get(name);
  if (method !== undefined) return new NativeFunction((given) => method(meter, object, given));
  if (name.startsWith("_")) return undefined;
  const mutating = object instanceof List ? LIST_MUTATING : object instanceof Dict ? DICT_MUTATING : undefined;
  if (mutating?.has(name))
    return new Undefined(() => `access to attribute '${name}' of ${nameOfType(object)} is unsafe: it would change it`);
  return object instanceof Thing ? object.attribute(name) : undefined;
}

function formatOf(meter: Meter, template: Str, name: string): Value {
  const lookup = { attribute: getAttribute, item: getItem };
  const bind = (given: ArgumentValues): ArgumentValues => (name === "format" ? given : namedBy(given.positional[0] ?? null));
  return new NativeFunction((given) => formatMethod(meter, template, bind(given), lookup));
}

function methodsOf(object: Value): ReadonlyMap<string, Method> | undefined {
  if (object instanceof Str) return STRING_METHODS;
  if (object instanceof Dict) return DICT_METHODS;
  if (object instanceof List || object instanceof Tuple || object instanceof IntegerRange) return SEQUENCE_METHODS;
  if (object instanceof Bytes) return BYTES_METHODS;
  return object === null || object instanceof Thing ? undefined : NUMBER_METHODS;
}

function itemOf(meter: Meter, object: Value, key: Value): Value | undefined {
  if (key instanceof Slice) return sliceOf(meter, object, key);
  if (object instanceof Dict) {
    const found = keyOf(meter, key);
    return found === undefined ? undefined : object.entries.get(found)?.[1];
  }
  const length = object instanceof Str ? object.length : sizeOf(object);
  if (length === undefined) return undefined;
  if (typeof key !== "bigint" && typeof key !== "boolean") return undefined;
  const index = toIndex(key) < 0 ? toIndex(key) + length : toIndex(key);
  return index < 0 || index >= length ? undefined : elementAt(meter, object, index);
}

function sizeOf(object: Value): number | undefined {
  if (object instanceof List || object instanceof Tuple) return object.items.length;
  if (object instanceof IntegerRange) return object.length;
  return object instanceof Bytes ? object.bytes.length : undefined;
}

function elementAt(meter: Meter, object: Value, index: number): Value | undefined {
  if (object instanceof Str) {
    if (object.length !== object.text.length) meter.spend(index);
    const start = object.offset(index);
    return object.slice(start, start + (object.text.codePointAt(start)! > 0xffff ? 2 : 1));
  }
  if (object instanceof List || object instanceof Tuple) return object.items[index];
  if (object instanceof IntegerRange) return object.at(index);
  return object instanceof Bytes ? BigInt(object.bytes[index]!) : undefined;
}

/** Other than an item, a slice that there can't be is an error. */
function sliceOf(meter: Meter, object: Value, slice: Slice): Value {
  const length = object instanceof Str ? object.length : sizeOf(object);
  if (length === undefined) return typeError(`'${typeName(object)}' object cannot be sliced`);
  if (!slice.bounds.every(isBound)) typeError("slice indices must be integers or None");
  const [start, stop, step] = indicesOf(slice, length);
  if (object instanceof IntegerRange) return new IntegerRange(object.at(start), object.at(stop), object.step * BigInt(step));
  const count = Math.max(0, step > 0 ? Math.ceil((stop - start) / step) : Math.ceil((start - stop) / -step));
  if (object instanceof Str && step === 1) {
    meter.spend(typeof object.written === "boolean" ? 0 : object.written.length);
    if (count === 0) return object.slice(0, 0);
    meter.spend(object.length === object.text.length ? count >> 2 : object.text.length);
    return object.slice(object.offset(start), object.offset(start + count));
  }
  meter.spend(ITEM * count);
  if (object instanceof Str) return everyNth(meter, object, start, step, count);
  const pick = <T>(items: ArrayLike<T>): T[] => Array.from({ length: count }, (_, i) => items[start + i * step]!);
  if (object instanceof Bytes) return new Bytes(Uint8Array.from(pick(object.bytes)));
  return object instanceof Tuple ? new Tuple(pick(object.items)) : new List(pick((object as List).items));
}

function everyNth(meter: Meter, string: Str, start: number, step: number, count: number): Str {
  meter.spend(string.text.length);
  const isPlain = string.length === string.text.length;
  const offsets = isPlain ? undefined : offsetsOf(string.text);
  const out = new Builder(meter);
  for (let i = 0; i < count; i++) {
    const index = start + i * step;
    out.add(offsets === undefined ? string.slice(index, index + 1) : string.slice(offsets[index]!, offsets[index + 1]));
  }
  return out.done(string.markup);
}

function offsetsOf(text: string): number[] {
  const offsets = [];
  for (let offset = 0; offset < text.length; offset += text.codePointAt(offset)! > 0xffff ? 2 : 1) offsets.push(offset);
  return offsets;
}

/** A slice's start, stop and step for a length, as Python's `slice.indices`. */
function indicesOf({ bounds }: Slice, length: number): [start: number, stop: number, step: number] {
  const [start, stop, step] = bounds.map((bound) => (bound === null ? undefined : toIndex(bound)));
  const stride = step ?? 1;
  if (stride === 0) typeError("slice step cannot be zero");
  const [low, high] = stride > 0 ? [0, length] : [-1, length - 1];
  const clamp = (index: number): number => Math.min(Math.max(index < 0 ? index + length : index, low), high);
  const [first, end] = stride > 0 ? [0, length] : [length - 1, -1];
  return [start === undefined ? first : clamp(start), stop === undefined ? end : clamp(stop), stride];
}

function isBound(bound: Value): boolean {
  return bound === null || typeof bound === "bigint" || typeof bound === "boolean";
}

/** An attribute's path, such as `"function.name"` or `0`, as the keys that lead along it. */
export function pathOf(attribute: Value): Value[] {
  if (attribute === null) return [];
  if (!(attribute instanceof Str)) return [attribute];
  return attribute.text.split(".").map((part) => (/^\d+$/.test(part) ? BigInt(part) : ofData(part)));
}
