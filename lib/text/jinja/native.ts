import type { Meter } from "./meter.ts";
import { toIndex } from "./numbers.ts";
import type { Filter, Runtime } from "./runtime.ts";
import { Str } from "./strings.ts";
import { type ArgumentValues, typeError, typeName, type Value } from "./values.ts";

/** A method: its object, and what it is called with. */
export type Method = (meter: Meter, self: Value, given: ArgumentValues) => Value;

/** An argument; `undefined` if it isn't given. */
export type Given = Value | undefined;

/** Puts arguments in the order of the parameters: `"old new count?"`, where the last may be left out. */
export function binder(parameters: string): (given: ArgumentValues) => Given[] {
  const specs = parameters.split(" ").filter((name) => name !== "");
  const names = specs.map((name) => name.replace("?", ""));
  const required = specs.filter((name) => !name.endsWith("?")).length;
  return ({ positional, named }) => {
    if (positional.length > names.length) typeError(`takes at most ${names.length} arguments (${positional.length} given)`);
    const values: Given[] = [...positional];
    for (const [name, value] of named) {
      const place = names.indexOf(name);
      if (place < 0) typeError(`got an unexpected keyword argument '${name}'`);
      if (values[place] !== undefined) typeError(`got multiple values for argument '${name}'`);
      values[place] = value;
    }
    for (let i = 0; i < required; i++) if (values[i] === undefined) typeError(`lacks the argument '${names[i]}'`);
    return values;
  };
}

/** A string argument. */
export function stringOf(value: Given): Str {
  return value instanceof Str ? value : typeError(`expected str instance, ${value === undefined ? "nothing" : typeName(value)} found`);
}

/** A string argument that may be None or left out. */
export function optionalString(value: Given): Str | undefined {
  return value === undefined || value === null ? undefined : stringOf(value);
}

/** An integer argument that may be left out; None counts as left out where Python says so. */
export function integerOf(value: Given, otherwise: number): number {
  return value === undefined || value === null ? otherwise : toIndex(value);
}

/** A filter with these parameters. */
export function filter(parameters: string, apply: (runtime: Runtime, value: Value, ...given: Given[]) => Value): Filter {
  const bind = binder(parameters);
  return (runtime, value, given) => apply(runtime, value, ...bind(given));
}
