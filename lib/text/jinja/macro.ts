import type { MacroDefinition } from "./ast.ts";
import { ofTemplate } from "./strings.ts";
import { type ArgumentValues, dictOf, Thing, Tuple, typeError, Undefined, type Value } from "./values.ts";

/** A macro, or a call block's body; called, it gives what its body prints. */
export class Macro extends Thing {
  readonly typeName = "Macro";
  override readonly call: (given: ArgumentValues) => Value;
  readonly #definition: MacroDefinition;

  constructor(definition: MacroDefinition, call: (given: ArgumentValues) => Value) {
    super();
    this.#definition = definition;
    this.call = call;
  }

  override attribute(name: string): Value | undefined {
    const { name: own, parameters, catches } = this.#definition;
    switch (name) {
      case "name":
        return own === undefined ? null : ofTemplate(own);
      case "arguments":
        return new Tuple(parameters.names.map(ofTemplate));
      case "catch_kwargs":
        return catches.has("kwargs");
      case "catch_varargs":
        return catches.has("varargs");
      case "caller":
        return catches.has("caller");
      default:
        return undefined;
    }
  }
}

/** A macro's variables, but for parameters that weren't given. */
export function bindMacro(
  { name, parameters: { names }, catches }: MacroDefinition,
  { positional, named }: ArgumentValues,
): Map<string, Value> {
  const title = `macro '${name ?? "caller"}'`;
  const variables = new Map<string, Value>(names.slice(0, positional.length).map((parameter, i) => [parameter, positional[i]!]));
  const others = new Map<string, Value>();
  for (const [key, value] of named) {
    if (variables.has(key) || !names.includes(key)) others.set(key, value);
    else variables.set(key, value);
  }
  if (catches.has("caller")) {
    variables.set("caller", others.get("caller") ?? new Undefined(() => "No caller defined"));
    others.delete("caller");
  }
  const [unknown] = others.keys();
  if (catches.has("kwargs")) variables.set("kwargs", dictOf(others));
  else if (unknown !== undefined) typeError(`${title} takes no keyword argument '${unknown}'`);
  if (catches.has("varargs")) variables.set("varargs", new Tuple(positional.slice(names.length)));
  else if (positional.length > names.length) typeError(`${title} takes not more than ${names.length} argument(s)`);
  return variables;
}
