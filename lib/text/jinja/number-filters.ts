import { formatValue } from "./format-spec.ts";
import { TemplateError } from "./meter.ts";
import { filter, type Given, integerOf, stringOf } from "./native.ts";
import { parseFloatText, parseInteger, rounded, toFloat, toIndex, truncated } from "./numbers.ts";
import { applySign } from "./operators.ts";
import type { Filter, Runtime } from "./runtime.ts";
import { isNumber, truth } from "./sequences.ts";
import { ofTemplate, Str } from "./strings.ts";
import { typeError, typeName, Undefined, type Value } from "./values.ts";

/** Filters of numbers. */
export const NUMBER_FILTERS: readonly [string, Filter][] = [
  ["abs", filter("", (_runtime, value) => absolute(value))],
  ["int", filter("default? base?", (_runtime, value, otherwise = 0n, base) => toInteger(value, otherwise, integerOf(base, 10)))],
  ["float", filter("default?", (_runtime, value, otherwise = 0) => asFloat(value) ?? otherwise)],
  ["round", filter("precision? method?", (_runtime, value, precision, method) => round(value, precision, method))],
  ["filesizeformat", filter("binary?", (runtime, value, binary) => fileSize(runtime, value, binary !== undefined && truth(binary)))],
];

function absolute(value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) return typeError(`bad operand type for abs(): '${typeName(value)}'`);
  return Number(value) < 0 || Object.is(value, -0) ? applySign(true, value) : applySign(false, value);
}

function toInteger(value: Value, otherwise: Value, base: number): Value {
  if (value instanceof Str) {
    const float = parseInteger(value.text, base) ?? parseFloatText(value.text);
    if (typeof float !== "number") return float ?? otherwise;
    return Number.isFinite(float) ? truncated(float) : otherwise;
  }
  if (value instanceof Undefined) value.fail();
  return !isNumber(value) || Number.isNaN(value) ? otherwise : truncated(value);
}

/** `float(value)`, or `undefined` where it is none. */
function asFloat(value: Value): number | undefined {
  if (value instanceof Str) return parseFloatText(value.text);
  if (value instanceof Undefined) value.fail();
  return isNumber(value) ? toFloat(value) : undefined;
}

function round(value: Value, precision: Given, method: Given): Value {
  const name = method === undefined ? "common" : stringOf(method).text;
  if (!["common", "ceil", "floor"].includes(name)) throw new TemplateError("method must be common, ceil or floor");
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) return typeError(`type ${typeName(value)} doesn't define __round__ method`);
  const digits = integerOf(precision, 0);
  if (name === "common") return precision === null ? rounded(rounded(value, 0), 0) : rounded(value, digits);
  const factor = 10 ** digits;
  return Math[name as "ceil" | "floor"](toFloat(value) * factor) / factor;
}

const PREFIXES = ["k", "M", "G", "T", "P", "E", "Z", "Y"];

function fileSize({ meter }: Runtime, value: Value, binary: boolean): Value {
  const bytes = asFloat(value) ?? typeError(`could not convert ${typeName(value)} to float`);
  const base = binary ? 1024 : 1000;
  if (bytes === 1) return ofTemplate("1 Byte");
  if (bytes < base) return ofTemplate(`${truncated(bytes)} Bytes`);
  let i = 0;
  while (i < PREFIXES.length - 1 && bytes >= base ** (i + 2)) i++;
  const size = formatValue(meter, (base * bytes) / base ** (i + 2), ".1f").text;
  const prefix = binary ? `${PREFIXES[i]!.toUpperCase()}i` : PREFIXES[i];
  return ofTemplate(`${size} ${prefix}B`);
}

/** `range(start, stop, step)` takes no more numbers than this. */
export const MAX_RANGE = 100_000;

/** The bounds of `range`. */
export function rangeBounds(given: readonly Value[]): [start: bigint, stop: bigint, step: bigint] {
  const [a, b, c] = given.map((value) => {
    if (value instanceof Undefined) value.fail();
    toIndex(value);
    return BigInt(value as bigint | boolean);
  });
  if (a === undefined || given.length > 3) typeError("range expected from 1 to 3 arguments");
  if (c === 0n) throw new TemplateError("range() arg 3 must not be zero");
  return b === undefined ? [0n, a, 1n] : [a, b, c ?? 1n];
}
