import { getAttributeOnly, getItem, pathOf } from "./attributes.ts";
import { ITEM, type Meter, TemplateError } from "./meter.ts";
import { filter, type Given, integerOf, stringOf } from "./native.ts";
import { applyBinary } from "./operators.ts";
import { toStr } from "./print.ts";
import type { Filter, Runtime } from "./runtime.ts";
import { checkKey, compare, equal, inLoop, iterate, lengthOf, listOf, truth } from "./sequences.ts";
import { lower } from "./string-kinds.ts";
import { Builder, EMPTY, ofTemplate, Str } from "./strings.ts";
import { Dict, IntegerRange, type Key, Lazy, List, Tuple, typeError, typeName, Undefined, type Value } from "./values.ts";

/** Filters of lists, dicts and what else can be walked. */
export const SEQUENCE_FILTERS: readonly [string, Filter][] = [
  ["length", filter("", (_runtime, value) => length(value))],
  ["count", filter("", (_runtime, value) => length(value))],
  ["first", filter("", ({ meter }, value) => firstOf(iterate(meter, value), nothing("first")))],
  ["last", filter("", ({ meter }, value) => firstOf(reversed(meter, value) ?? notReversible(value), nothing("last")))],
  ["list", filter("", ({ meter }, value) => new List(listOf(meter, value)))],
  ["items", filter("", (_runtime, value) => itemsOf(value))],
  ["default", filter("default_value? boolean?", defaultOf)],
  ["d", filter("default_value? boolean?", defaultOf)],
  ["join", filter("d? attribute?", join)],
  ["reverse", filter("", reverse)],
  ["random", filter("", random)],
  ["attr", filter("name", ({ meter }, value, name) => getAttributeOnly(meter, value, stringOf(name).text))],
  ["sort", filter("reverse? case_sensitive? attribute?", sort)],
  ["dictsort", filter("case_sensitive? by? reverse?", dictSort)],
  ["unique", filter("case_sensitive? attribute?", (...given) => new Lazy(unique(...given)))],
  ["min", filter("case_sensitive? attribute?", (runtime, value, ...given) => extreme(runtime, value, given, -1))],
  ["max", filter("case_sensitive? attribute?", (runtime, value, ...given) => extreme(runtime, value, given, 1))],
  ["sum", filter("attribute? start?", sum)],
  ["batch", filter("linecount fill_with?", (...given) => new Lazy(batches(...given)))],
  ["slice", filter("slices fill_with?", (...given) => new Lazy(slices(...given)))],
  ["groupby", filter("attribute default? case_sensitive?", groupBy)],
];

function isTrue(given: Given): boolean {
  return given !== undefined && truth(given);
}

function length(value: Value): Value {
  const size = lengthOf(value);
  return size === undefined ? typeError(`object of type '${typeName(value)}' has no len()`) : BigInt(size);
}

function nothing(what: string): Undefined {
  return new Undefined(() => `No ${what} item, sequence was empty.`);
}

/** The first item, or what stands for none. */
function firstOf(iterator: Iterator<Value, unknown, undefined>, otherwise: Value): Value {
  const { done, value } = iterator.next();
  return done === true ? otherwise : (value as Value);
}

function notReversible(value: Value): never {
  return typeError(`'${typeName(value)}' object is not reversible`);
}

/** `reversed(value)`; `undefined` where Python has none. */
function reversed(meter: Meter, value: Value): Iterator<Value, unknown, undefined> | undefined {
  if (value instanceof Lazy || lengthOf(value) === undefined) return undefined;
  if (value instanceof IntegerRange)
    return iterate(meter, new IntegerRange(value.at(value.length - 1), value.start - value.step, -value.step));
  return listOf(meter, value).reverse().values();
}

function reverse({ meter }: Runtime, value: Value): Value {
  if (value instanceof Str) {
    const out = new Builder(meter);
    for (const letter of listOf(meter, value).reverse()) out.add(letter as Str);
    return out.done(value.markup);
  }
  const backwards = reversed(meter, value);
  return backwards === undefined ? new List(listOf(meter, value).reverse()) : new Lazy(backwards, "reversed");
}

function random({ meter }: Runtime, value: Value): Value {
  const items = listOf(meter, value);
  return firstOf(items.slice(Math.floor(Math.random() * items.length)).values(), nothing("random"));
}

function itemsOf(value: Value): Value {
  if (value instanceof Undefined) return new Lazy([].values());
  return value instanceof Dict ? new Lazy(value.list("items").values()) : typeError("Can only get item pairs from a mapping.");
}

function defaultOf(_runtime: Runtime, value: Value, otherwise: Given = EMPTY, boolean: Given = false): Value {
  return value instanceof Undefined || (isTrue(boolean) && !truth(value)) ? otherwise : value;
}

function join({ meter }: Runtime, value: Value, separator: Given, attribute: Given): Value {
  const between = separator === undefined ? EMPTY : toStr(meter, separator);
  const get = getter(meter, attribute ?? null);
  const out = new Builder(meter);
  let i = 0;
  for (const item of inLoop(iterate(meter, value))) {
    if (i++ > 0) out.add(between);
    out.add(toStr(meter, get(item)));
  }
  return out.done();
}

/** Finds what lies at an attribute's path; of what isn't there, a default at every step. */
export function getter(meter: Meter, attribute: Value, otherwise: Value = null): (item: Value) => Value {
  const path = pathOf(attribute);
  return (item) =>
    path.reduce<Value>((object, key) => {
      const found = getItem(meter, object, key);
      return found instanceof Undefined && otherwise !== null ? otherwise : found;
    }, item);
}

function withoutCase(value: Value): Value {
  return value instanceof Str ? value.map(lower) : value;
}

/** What is compared: an item's attributes, several with commas between, without case unless that matters. */
function sortKey(meter: Meter, attribute: Given, caseSensitive: boolean): (item: Value) => Value {
  const names = attribute instanceof Str ? attribute.text.split(",").map((name): Value => ofTemplate(name)) : [attribute ?? null];
  const getters = names.map((name) => getter(meter, name));
  return (item) => new List(getters.map((get) => (caseSensitive ? get(item) : withoutCase(get(item)))));
}

function sorted(meter: Meter, items: readonly Value[], key: (item: Value) => Value, backwards: boolean): Value[] {
  const keyed = items.map((item) => [key(item), item] as const);
  meter.spend(4 * ITEM * items.length);
  keyed.sort(([a], [b]) => {
    meter.spend(ITEM);
    return backwards ? compare(meter, b, a, "<") : compare(meter, a, b, "<");
  });
  return keyed.map(([, item]) => item);
}

function sort({ meter }: Runtime, value: Value, backwards: Given, caseSensitive: Given, attribute: Given): Value {
  return new List(sorted(meter, listOf(meter, value), sortKey(meter, attribute, isTrue(caseSensitive)), isTrue(backwards)));
}

function dictSort({ meter }: Runtime, value: Value, caseSensitive: Given, by: Given, backwards: Given): Value {
  const part = by === undefined ? "key" : stringOf(by).text;
  if (part !== "key" && part !== "value") throw new TemplateError('You can only sort by either "key" or "value"');
  if (value instanceof Undefined) value.fail();
  if (!(value instanceof Dict)) typeError(`'${typeName(value)}' object has no attribute 'items'`);
  const place = part === "key" ? 0 : 1;
  const key = (pair: Value): Value => (isTrue(caseSensitive) ? (pair as Tuple).items[place]! : withoutCase((pair as Tuple).items[place]!));
  return new List(sorted(meter, value.list("items"), key, isTrue(backwards)));
}

function* unique({ meter }: Runtime, value: Value, caseSensitive?: Given, attribute?: Given): Generator<Value, undefined, undefined> {
  const get = getter(meter, attribute ?? null);
  const seen = new Set<Key>();
  for (const item of inLoop(iterate(meter, value))) {
    const key = checkKey(meter, isTrue(caseSensitive) ? get(item) : withoutCase(get(item)));
    if (!seen.has(key)) yield item;
    seen.add(key);
  }
}

/** The first of the least (`direction` -1) or greatest items. */
function extreme({ meter }: Runtime, value: Value, [caseSensitive, attribute]: Given[], direction: number): Value {
  const get = getter(meter, attribute ?? null);
  const key = (item: Value): Value => (isTrue(caseSensitive) ? get(item) : withoutCase(get(item)));
  const [first, ...rest] = listOf(meter, value);
  if (first === undefined) return new Undefined(() => "No aggregated item, sequence was empty.");
  let best = first;
  for (const item of rest) if (compare(meter, key(item), key(best), direction < 0 ? "<" : ">") * direction > 0) best = item;
  return best;
}

function sum({ meter }: Runtime, value: Value, attribute: Given, start: Given): Value {
  if (start instanceof Str) typeError("sum() can't sum strings [use ''.join(seq) instead]");
  const get = getter(meter, attribute ?? null);
  let total: Value = start ?? 0n;
  for (const item of inLoop(iterate(meter, value))) total = applyBinary(meter, "+", total, get(item));
  return total;
}

function* batches({ meter }: Runtime, value: Value, count?: Given, fill?: Given): Generator<Value, undefined, undefined> {
  const size = integerOf(count, 0);
  let batch: Value[] = [];
  for (const item of inLoop(iterate(meter, value))) {
    if (batch.length === size) {
      yield new List(batch);
      batch = [];
    }
    batch.push(item);
  }
  if (batch.length === 0) return;
  meter.spend(ITEM * Math.max(0, size - batch.length));
  while ((fill ?? null) !== null && batch.length < size) batch.push(fill!);
  yield new List(batch);
}

function* slices({ meter }: Runtime, value: Value, count?: Given, fill?: Given): Generator<Value, undefined, undefined> {
  const items = listOf(meter, value);
  const total = integerOf(count, 0);
  if (total === 0) throw new TemplateError("integer division or modulo by zero");
  const [size, longer] = [Math.floor(items.length / total), items.length % total];
  let start = 0;
  for (let i = 0; i < total; i++) {
    meter.spend(ITEM);
    const end = start + size + (i < longer ? 1 : 0);
    const slice = items.slice(start, end);
    if ((fill ?? null) !== null && i >= longer) slice.push(fill!);
    yield new List(slice);
    start = end;
  }
}

function groupBy({ meter }: Runtime, value: Value, attribute: Given, otherwise: Given, caseSensitive: Given): Value {
  const get = getter(meter, attribute!, otherwise ?? null);
  const key = (item: Value): Value => (isTrue(caseSensitive) ? get(item) : withoutCase(get(item)));
  const groups: { key: Value; items: Value[] }[] = [];
  for (const item of sorted(meter, listOf(meter, value), key, false)) {
    const last = groups.at(-1);
    if (last !== undefined && equal(meter, last.key, key(item))) last.items.push(item);
    else groups.push({ key: key(item), items: [item] });
  }
  const names = ["grouper", "list"];
  return new List(groups.map(({ items }) => new Tuple([get(items[0]!), new List(items)], names)));
}
