import type { Comparison } from "./ast.ts";
import { binder, type Given } from "./native.ts";
import { applyBinary, applyComparison } from "./operators.ts";
import { toStr } from "./print.ts";
import type { Runtime, Test } from "./runtime.ts";
import { equal, isIterable, isNumber } from "./sequences.ts";
import { PREDICATES } from "./string-kinds.ts";
import { Str } from "./strings.ts";
import { Bytes, Dict, IntegerRange, List, Thing, Tuple, typeError, typeName, Undefined, type Value } from "./values.ts";

function define(parameters: string, holds: (runtime: Runtime, value: Value, argument: Given) => boolean): Test {
  const bind = binder(parameters);
  return (runtime, value, given) => holds(runtime, value, bind(given)[0]);
}

function comparison(operator: Comparison): Test {
  return define("other", ({ meter }, value, other) => applyComparison(meter, operator, value, other!));
}

/** Tests by name. */
export const TESTS: ReadonlyMap<string, Test> = new Map<string, Test>([
  ["defined", define("", (_runtime, value) => !(value instanceof Undefined))],
  ["undefined", define("", (_runtime, value) => value instanceof Undefined)],
  ["none", define("", (_runtime, value) => value === null)],
  ["boolean", define("", (_runtime, value) => typeof value === "boolean")],
  ["true", define("", (_runtime, value) => value === true)],
  ["false", define("", (_runtime, value) => value === false)],
  ["integer", define("", (_runtime, value) => typeof value === "bigint")],
  ["float", define("", (_runtime, value) => typeof value === "number")],
  ["number", define("", (_runtime, value) => isNumber(value))],
  ["string", define("", (_runtime, value) => value instanceof Str)],
  ["mapping", define("", (_runtime, value) => value instanceof Dict)],
  ["sequence", define("", (_runtime, value) => isSequence(value))],
  ["iterable", define("", (_runtime, value) => isIterable(value))],
  ["callable", define("", (_runtime, value) => value instanceof Undefined || (value instanceof Thing && value.call !== undefined))],
  ["escaped", define("", (_runtime, value) => value instanceof Str && value.markup)],
  ["sameas", define("other", ({ meter }, value, other) => isSame(value, other!) && equal(meter, value, other!))],
  ["filter", define("", (runtime, value) => value instanceof Str && runtime.hasFilter(value.text))],
  ["test", define("", (_runtime, value) => value instanceof Str && TESTS.has(value.text))],
  ["odd", define("", (runtime, value) => remainder(runtime, value, 2n) === 1)],
  ["even", define("", (runtime, value) => remainder(runtime, value, 2n) === 0)],
  ["divisibleby", define("num", (runtime, value, by) => remainder(runtime, value, by!) === 0)],
  ["lower", define("", ({ meter }, value) => PREDICATES.get("islower")!(toStr(meter, value).text))],
  ["upper", define("", ({ meter }, value) => PREDICATES.get("isupper")!(toStr(meter, value).text))],
  ["in", comparison("in")],
  ...(["==", "eq", "equalto"] as const).map((name): [string, Test] => [name, comparison("==")]),
  ...(["!=", "ne"] as const).map((name): [string, Test] => [name, comparison("!=")]),
  ...(["<", "lt", "lessthan"] as const).map((name): [string, Test] => [name, comparison("<")]),
  ...(["<=", "le"] as const).map((name): [string, Test] => [name, comparison("<=")]),
  ...([">", "gt", "greaterthan"] as const).map((name): [string, Test] => [name, comparison(">")]),
  ...([">=", "ge"] as const).map((name): [string, Test] => [name, comparison(">=")]),
]);

/** It has a length and items by a key. */
function isSequence(value: Value): boolean {
  const indexed = value instanceof Str || value instanceof List || value instanceof Tuple || value instanceof Dict;
  return indexed || value instanceof IntegerRange || value instanceof Bytes || value instanceof Undefined;
}

function remainder({ meter }: Runtime, value: Value, by: Value): number {
  const result = applyBinary(meter, "%", value, by);
  return isNumber(result) ? Number(result) : typeError(`'${typeName(result)}' is no number`);
}

/** Values of these types are one object where they are equal; all else is itself only. */
function isSame(a: Value, b: Value): boolean {
  return a === b || (typeName(a) === typeName(b) && (a instanceof Str || typeof a === "bigint" || typeof a === "number"));
}
