import { TemplateError } from "./meter.ts";
import { stringOf } from "./native.ts";
import type { Filter, Runtime } from "./runtime.ts";
import { getter } from "./sequence-filters.ts";
import { inLoop, iterate, truth } from "./sequences.ts";
import { type ArgumentValues, Lazy, type Value } from "./values.ts";

/** Filters that apply other filters and tests, each to one item after the other, when it is asked for. */
export const SELECT_FILTERS: readonly [string, Filter][] = [
  ["map", (runtime, value, given) => new Lazy(map(runtime, value, given))],
  ["select", (runtime, value, given) => new Lazy(select(runtime, value, given, false, true))],
  ["reject", (runtime, value, given) => new Lazy(select(runtime, value, given, false, false))],
  ["selectattr", (runtime, value, given) => new Lazy(select(runtime, value, given, true, true))],
  ["rejectattr", (runtime, value, given) => new Lazy(select(runtime, value, given, true, false))],
];

function* map(runtime: Runtime, value: Value, given: ArgumentValues): Generator<Value, undefined, undefined> {
  if (!truth(value)) return;
  const change = mapping(runtime, given);
  for (const item of inLoop(iterate(runtime.meter, value))) yield change(item);
}

/** An attribute, or a filter with its arguments. */
function mapping(runtime: Runtime, { positional, named }: ArgumentValues): (item: Value) => Value {
  const [name, ...rest] = positional;
  const attribute = named.get("attribute");
  if (name !== undefined) return (item) => runtime.filter(stringOf(name).text, item, { positional: rest, named });
  if (attribute === undefined) throw new TemplateError("map requires a filter argument");
  const unknown = [...named.keys()].find((key) => key !== "attribute" && key !== "default");
  if (unknown !== undefined) throw new TemplateError(`Unexpected keyword argument '${unknown}'`);
  return getter(runtime.meter, attribute, named.get("default") ?? null);
}

function* select(
  runtime: Runtime,
  value: Value,
  { positional, named }: ArgumentValues,
  byAttribute: boolean,
  wanted: boolean,
): Generator<Value, undefined, undefined> {
  if (!truth(value)) return;
  const [attribute, ...others] = positional;
  if (byAttribute && attribute === undefined) throw new TemplateError("Missing parameter for attribute name");
  const get = byAttribute ? getter(runtime.meter, attribute!) : (item: Value): Value => item;
  const [name, ...rest] = byAttribute ? others : positional;
  const holds = (item: Value): boolean =>
    name === undefined ? truth(item) : runtime.test(stringOf(name).text, item, { positional: rest, named });
  for (const item of inLoop(iterate(runtime.meter, value))) if (holds(get(item)) === wanted) yield item;
}
