import { ITEM, type Meter } from "./meter.ts";
import { compareTexts, Str } from "./strings.ts";
import {
  Bytes,
  Dict,
  DictView,
  IntegerRange,
  type Key,
  Lazy,
  List,
  Namespace,
  Thing,
  Tuple,
  typeError,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Whether Python takes it as true. */
export function truth(value: Value): boolean {
  if (value instanceof Str) return value.text !== "";
  if (!(value instanceof Thing)) return Boolean(value);
  return (lengthOf(value) ?? (value instanceof Undefined ? 0 : 1)) > 0;
}

/** `len(value)`, or `undefined` where there is none. */
export function lengthOf(value: Value): number | undefined {
  if (value instanceof Str) return value.length;
  if (value instanceof List || value instanceof Tuple) return value.items.length;
  if (value instanceof Dict) return value.entries.size;
  if (value instanceof DictView) return value.dict.entries.size;
  if (value instanceof IntegerRange) return value.length;
  if (value instanceof Bytes) return value.bytes.length;
  if (value instanceof Undefined) return 0;
  const length = value instanceof Thing ? value.attribute("__len__") : undefined;
  return typeof length === "bigint" ? Number(length) : undefined;
}

/** `iter(value)`; throws where it can't be walked. Every element costs when it comes. */
export function iterate(meter: Meter, value: Value): Iterator<Value, unknown, undefined> {
  if (value instanceof Lazy) return value.iterator;
  return walk(meter, elementsOf(value) ?? typeError(`'${typeName(value)}' object is not iterable`));
}

/** Whether it can be walked. */
export function isIterable(value: Value): boolean {
  return value instanceof Lazy || elementsOf(value) !== undefined;
}

/** `list(value)` as an array, which is the caller's own. */
export function listOf(meter: Meter, value: Value): Value[] {
  if (value instanceof List || value instanceof Tuple) {
    meter.spend(ITEM * value.items.length);
    return [...value.items];
  }
  return Array.from(inLoop(iterate(meter, value)));
}

/** An iterator in a for loop that, other than the loop's own way, doesn't end it when the loop is left. */
export function inLoop(iterator: Iterator<Value, unknown, undefined>): Iterable<Value> {
  return { [Symbol.iterator]: () => ({ next: () => iterator.next() as IteratorResult<Value> }) };
}

function* walk(meter: Meter, elements: Iterable<Value>): Generator<Value, undefined, undefined> {
  for (const element of elements) {
    meter.spend(ITEM);
    yield element;
  }
}

function elementsOf(value: Value): Iterable<Value> | undefined {
  if (value instanceof Str) return codePoints(value);
  if (value instanceof List || value instanceof Tuple) return value.items;
  if (value instanceof Dict) return keysOf(value);
  if (value instanceof DictView) return value.part === "keys" ? keysOf(value.dict) : entriesOf(value);
  if (value instanceof IntegerRange) return integersOf(value);
  if (value instanceof Bytes) return Array.from(value.bytes, BigInt);
  return value instanceof Undefined ? [] : undefined;
}

/** Characters of HTML are no HTML by themselves. */
function* codePoints({ text, written }: Str): Generator<Str, undefined, undefined> {
  const string = new Str(text, written);
  for (let start = 0; start < text.length; ) {
    const end = start + (text.codePointAt(start)! > 0xffff ? 2 : 1);
    yield string.slice(start, end);
    start = end;
  }
}

function* keysOf({ entries }: Dict): Generator<Value, undefined, undefined> {
  for (const [key] of entries.values()) yield key;
}

function* entriesOf({ dict, part }: DictView): Generator<Value, undefined, undefined> {
  for (const [key, value] of dict.entries.values()) yield part === "values" ? value : new Tuple([key, value]);
}

function* integersOf(range: IntegerRange): Generator<Value, undefined, undefined> {
  for (let i = 0; i < range.length; i++) yield range.at(i);
}

/** What finds a value as a key; `undefined` where Python can't hash it. Equal numbers have equal keys, whatever their types. */
export function keyOf(meter: Meter, value: Value): Key | undefined {
  if (value instanceof Str) return value.text;
  if (typeof value === "boolean") return value ? 1n : 0n;
  if (typeof value === "number") return Number.isInteger(value) ? BigInt(value) : value;
  if (value instanceof Undefined) return Undefined;
  if (!(value instanceof Tuple)) return value instanceof List || value instanceof Dict ? undefined : value;
  // A surrogate stands in no string.
  let key = "\ud800(";
  for (const item of value.items) {
    const part = keyOf(meter, item);
    if (part === undefined || typeof part === "function" || (typeof part === "object" && part !== null)) return undefined;
    key += `${typeof part === "string" ? JSON.stringify(part) : part},`;
    meter.spend(key.length);
  }
  return key;
}

/** The key of what has to be one. */
export function checkKey(meter: Meter, value: Value): Key {
  const key = keyOf(meter, value);
  return key === undefined ? typeError(`unhashable type: '${typeName(value)}'`) : key;
}

/** `a == b`. */
export function equal(meter: Meter, a: Value, b: Value): boolean {
  if (a === b) return true;
  if (a instanceof Str) return b instanceof Str && equalTexts(meter, a.text, b.text);
  if (isNumber(a)) return isNumber(b) && compareNumbers(a, b) === 0;
  if (a instanceof List) return b instanceof List && equalItems(meter, a.items, b.items);
  if (a instanceof Tuple) return b instanceof Tuple && equalItems(meter, a.items, b.items);
  if (a instanceof Dict) return b instanceof Dict && equalDicts(meter, a, b);
  if (a instanceof DictView && a.part === "keys") return b instanceof DictView && b.part === "keys" && equalKeys(meter, a.dict, b.dict);
  if (a instanceof Bytes) return b instanceof Bytes && Buffer.compare(a.bytes, b.bytes) === 0;
  if (a instanceof IntegerRange) return b instanceof IntegerRange && equalRanges(a, b);
  return a instanceof Undefined && b instanceof Undefined;
}

function equalTexts(meter: Meter, a: string, b: string): boolean {
  if (a.length !== b.length) return false;
  meter.spend(a.length >> 3);
  return a === b;
}

/** Ranges are equal if their numbers are. */
function equalRanges(a: IntegerRange, b: IntegerRange): boolean {
  const last = a.length - 1;
  return a.length === b.length && (last < 0 || (a.at(0) === b.at(0) && a.at(last) === b.at(last)));
}

function equalItems(meter: Meter, a: readonly Value[], b: readonly Value[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((item, i) => {
    meter.spend(ITEM);
    return equal(meter, item, b[i]!);
  });
}

function equalDicts(meter: Meter, a: Dict, b: Dict): boolean {
  if (!equalKeys(meter, a, b)) return false;
  for (const [key, [, value]] of a.entries) {
    meter.spend(ITEM);
    if (!equal(meter, value, b.entries.get(key)![1])) return false;
  }
  return true;
}

function equalKeys(meter: Meter, a: Dict, b: Dict): boolean {
  meter.spend(ITEM * a.entries.size);
  return a.entries.size === b.entries.size && Array.from(a.entries.keys()).every((key) => b.entries.has(key));
}

/** Whether arithmetic takes it as a number. */
export function isNumber(value: Value): value is boolean | bigint | number {
  return typeof value === "bigint" || typeof value === "number" || typeof value === "boolean";
}

/** Less than 0, 0 or more as a is less than, equal to or more than b; NaN where one is. */
export function compareNumbers(a: boolean | bigint | number, b: boolean | bigint | number): number {
  const [x, y] = [typeof a === "boolean" ? Number(a) : a, typeof b === "boolean" ? Number(b) : b];
  return x < y ? -1 : x > y ? 1 : Number.isNaN(x) || Number.isNaN(y) ? Number.NaN : 0;
}

/** The order of a and b, `operator` being what the error names. Throws where they have none. */
export function compare(meter: Meter, a: Value, b: Value, operator: string): number {
  if (isNumber(a) && isNumber(b)) return compareNumbers(a, b);
  if (a instanceof Str && b instanceof Str) {
    meter.spend(Math.min(a.text.length, b.text.length));
    return compareTexts(a.text, b.text);
  }
  if (a instanceof List && b instanceof List) return compareItems(meter, a.items, b.items, operator);
  if (a instanceof Tuple && b instanceof Tuple) return compareItems(meter, a.items, b.items, operator);
  for (const operand of [a, b]) if (operand instanceof Undefined) operand.fail();
  return typeError(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

function compareItems(meter: Meter, a: readonly Value[], b: readonly Value[], operator: string): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    meter.spend(ITEM);
    if (!equal(meter, a[i]!, b[i]!)) return compare(meter, a[i]!, b[i]!, operator);
  }
  return a.length - b.length;
}

/** `item in container`. */
export function contains(meter: Meter, container: Value, item: Value): boolean {
  if (container instanceof Str) {
    if (!(item instanceof Str)) typeError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    meter.spend(container.text.length >> 2);
    return container.text.includes(item.text);
  }
  if (container instanceof Dict || (container instanceof DictView && container.part === "keys")) {
    return (container instanceof Dict ? container : container.dict).entries.has(checkKey(meter, item));
  }
  if (container instanceof Namespace) return typeError("argument of type 'Namespace' is not iterable");
  if (!isIterable(container)) typeError(`argument of type '${typeName(container)}' is not iterable`);
  for (const element of inLoop(iterate(meter, container))) if (equal(meter, element, item)) return true;
  return false;
}
