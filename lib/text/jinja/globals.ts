import { counted } from "../../errors.ts";
import { TemplateError } from "./meter.ts";
import { binder, integerOf, stringOf } from "./native.ts";
import { MAX_RANGE, rangeBounds } from "./number-filters.ts";
import { toStr } from "./print.ts";
import type { Runtime } from "./runtime.ts";
import { checkKey, inLoop, iterate, listOf } from "./sequences.ts";
import { strftime } from "./strftime.ts";
import { EMPTY, ofData, ofTemplate } from "./strings.ts";
import { type ArgumentValues, Dict, IntegerRange, type Key, Namespace, NativeFunction, Thing, typeError, type Value } from "./values.ts";

/** The functions that every template has. */
export function globalsOf(runtime: Runtime): Map<string, Value> {
  const one = binder("value");
  const functions: [string, (given: ArgumentValues) => Value][] = [
    ["range", ({ positional }) => range(positional)],
    ["dict", (given) => mappingOf(runtime, given)],
    ["namespace", (given) => new Namespace(variablesOf(mappingOf(runtime, given)))],
    ["cycler", ({ positional }) => new Cycler(positional)],
    ["joiner", ({ positional: [separator = ofTemplate(", ")] }) => joiner(separator)],
    ["lipsum", (given) => lipsum(given)],
    ["strftime_now", (given) => strftime(runtime.meter, runtime.now(), stringOf(one(given)[0]))],
    ["raise_exception", (given) => raise(toStr(runtime.meter, one(given)[0]!).text)],
  ];
  return new Map(functions.map(([name, call]) => [name, new NativeFunction(call)]));
}

function raise(message: string): never {
  throw new TemplateError(message);
}

function range(given: readonly Value[]): IntegerRange {
  const made = new IntegerRange(...rangeBounds(given));
  if (made.length > MAX_RANGE) throw new TemplateError(`a range has ${counted(made.length, "number")}; expected at most ${MAX_RANGE}`);
  return made;
}

/** `dict(mapping or pairs, name=value)`. */
function mappingOf({ meter }: Runtime, { positional, named }: ArgumentValues): Dict {
  const [first, ...others] = positional;
  if (others.length > 0) typeError(`dict expected at most 1 argument, got ${positional.length}`);
  const entries = new Map<Key, readonly [Value, Value]>(first instanceof Dict ? first.entries : []);
  if (first !== undefined && !(first instanceof Dict)) {
    for (const pair of inLoop(iterate(meter, first))) {
      const [key, value, ...more] = listOf(meter, pair);
      if (key === undefined || value === undefined || more.length > 0) typeError("dict needs pairs of a key and a value");
      entries.set(checkKey(meter, key), [key, value]);
    }
  }
  for (const [name, value] of named) entries.set(name, [ofData(name), value]);
  return new Dict(entries);
}

function variablesOf({ entries }: Dict): Map<string, Value> {
  return new Map(Array.from(entries, ([key, [, value]]): [string, Value] => [String(key), value]));
}

/** Gives its values in turns. */
class Cycler extends Thing {
  readonly typeName = "Cycler";
  readonly #items: readonly Value[];
  #position = 0;

  constructor(items: readonly Value[]) {
    super();
    if (items.length === 0) typeError("at least one item has to be provided");
    this.#items = items;
  }

  override attribute(name: string): Value | undefined {
    if (name === "current") return this.#items[this.#position];
    if (name === "next") return new NativeFunction(() => this.#next());
    return name === "reset" ? new NativeFunction(() => this.#reset()) : undefined;
  }

  #next(): Value {
    const item = this.#items[this.#position]!;
    this.#position = (this.#position + 1) % this.#items.length;
    return item;
  }

  #reset(): null {
    this.#position = 0;
    return null;
  }
}

/** Gives nothing when it is called first, then its separator. */
function joiner(separator: Value): Value {
  let used = false;
  return new NativeFunction(() => {
    const wasUsed = used;
    used = true;
    return wasUsed ? separator : EMPTY;
  });
}

/** The first paragraph that all know; jinja2 makes random ones. */
function lipsum(given: ArgumentValues): Value {
  const [paragraphs] = binder("n? html? min? max?")(given);
  const count = Math.min(Math.max(0, integerOf(paragraphs, 5)), 100);
  return ofTemplate(Array.from({ length: count }, () => "Lorem ipsum dolor sit amet, consectetur adipiscing elit.").join("\n\n"));
}
