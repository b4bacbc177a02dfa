import type { BinaryOperator, Comparison } from "./ast.ts";
import { escapeHtml } from "./html.ts";
import { ITEM, type Meter, TemplateError } from "./meter.ts";
import { boundedInteger, floorDivide, power, toFloat, toIndex } from "./numbers.ts";
import { percentFormat } from "./percent-format.ts";
import { compare, contains, equal, isNumber } from "./sequences.ts";
import { Builder, concat, Str } from "./strings.ts";
import { List, Tuple, typeError, typeName, Undefined, type Value } from "./values.ts";

type Numeric = boolean | bigint | number;

/** `a operator b`. */
export function applyBinary(meter: Meter, operator: BinaryOperator, a: Value, b: Value): Value {
  if (isNumber(a) && isNumber(b)) return paidFor(meter, arithmetic(operator, a, b));
  const result = a instanceof Undefined ? undefined : applyToObjects(meter, operator, a, b);
  if (result !== undefined) return result;
  for (const operand of [a, b]) if (operand instanceof Undefined) operand.fail();
  return typeError(`unsupported operand type(s) for ${operator}: '${typeName(a)}' and '${typeName(b)}'`);
}

/** Integers beyond what a double holds take longer. */
function paidFor(meter: Meter, result: bigint | number): bigint | number {
  if (typeof result === "bigint" && !Number.isSafeInteger(Number(result))) meter.spend(4 * ITEM);
  return result;
}

function applyToObjects(meter: Meter, operator: BinaryOperator, a: Value, b: Value): Value | undefined {
  if (operator === "%") return a instanceof Str ? percentFormat(meter, a, b) : undefined;
  if (operator === "*") return isRepeatable(a) ? repeat(meter, a, b) : isRepeatable(b) ? repeat(meter, b, a) : undefined;
  if (operator !== "+") return undefined;
  if (a instanceof Str && b instanceof Str) return add(meter, a, b);
  if (a instanceof List && b instanceof List) return new List(joined(meter, a.items, b.items));
  return a instanceof Tuple && b instanceof Tuple ? new Tuple(joined(meter, a.items, b.items)) : undefined;
}

function joined(meter: Meter, a: readonly Value[], b: readonly Value[]): Value[] {
  meter.spend(ITEM * (a.length + b.length));
  return [...a, ...b];
}

/** Strings, one after the other; what is added to HTML is escaped. */
export function add(meter: Meter, a: Str, b: Str): Str {
  if (a.markup === b.markup) return concat(meter, a, b);
  const html = concat(meter, escapeHtml(meter, a), escapeHtml(meter, b));
  return new Str(html.text, html.written, true);
}

function isRepeatable(value: Value): value is Str | List | Tuple {
  return value instanceof Str || value instanceof List || value instanceof Tuple;
}

function repeat(meter: Meter, value: Str | List | Tuple, times: Value): Value | undefined {
  if (typeof times !== "bigint" && typeof times !== "boolean") return undefined;
  const count = Math.max(0, toIndex(times));
  if (value instanceof Str) return new Builder(meter).repeat(value, value.text === "" ? 0 : count).done(value.markup);
  if (value.items.length > 0) meter.spend(ITEM * value.items.length * count);
  const items = value.items.length === 0 ? [] : Array.from({ length: count }, () => value.items).flat();
  return value instanceof List ? new List(items) : new Tuple(items);
}

function arithmetic(operator: BinaryOperator, a: Numeric, b: Numeric): bigint | number {
  if (operator === "**") return power(a, b);
  if (operator === "/") return divide(a, b);
  if (typeof a !== "number" && typeof b !== "number") return integerArithmetic(operator, BigInt(a), BigInt(b));
  return floatArithmetic(operator, toFloat(a), toFloat(b));
}

function integerArithmetic(operator: BinaryOperator, a: bigint, b: bigint): bigint {
  switch (operator) {
    case "+":
      return boundedInteger(a + b);
    case "-":
      return boundedInteger(a - b);
    case "*":
      return boundedInteger(a * b);
    default:
      if (b === 0n) throw new TemplateError("integer division or modulo by zero");
      return operator === "//" ? floorDivide(a, b) : a - b * floorDivide(a, b);
  }
}

function floatArithmetic(operator: BinaryOperator, a: number, b: number): number {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    default:
      if (b === 0) throw new TemplateError("float floor division or modulo by zero");
      return operator === "//" ? floorQuotient(a, b) : modulo(a, b);
  }
}

/** The remainder has the divisor's sign. */
function modulo(a: number, b: number): number {
  const remainder = a % b;
  if (remainder === 0) return Math.sign(b) * 0;
  return remainder < 0 !== b < 0 ? remainder + b : remainder;
}

/** Of the exact quotient, not of the rounded one. */
function floorQuotient(a: number, b: number): number {
  const quotient = (a - modulo(a, b)) / b;
  if (quotient === 0) return Math.sign(a / b) < 0 || Object.is(a / b, -0) ? -0 : 0;
  const floor = Math.floor(quotient);
  return quotient - floor > 0.5 ? floor + 1 : floor;
}

/** `a / b`, a float. Integers beyond 2^53 are divided exactly before they are rounded. */
function divide(a: Numeric, b: Numeric): number {
  if (Number(b) === 0) throw new TemplateError("division by zero");
  if (typeof a === "number" || typeof b === "number") return toFloat(a) / toFloat(b);
  const [x, y] = [toFloat(a), toFloat(b)];
  return Number.isSafeInteger(x) && Number.isSafeInteger(y) ? x / y : divideLarge(BigInt(a), BigInt(b));
}

/** 66 bits of the quotient, the last of which stands for all that follow: rounded once, to the nearest. */
function divideLarge(a: bigint, b: bigint): number {
  const [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b];
  const shift = 66 - (x.toString(2).length - y.toString(2).length);
  const [n, d] = shift > 0 ? [x << BigInt(shift), y] : [x, y << BigInt(-shift)];
  const magnitude = Number((n / d) | (n % d === 0n ? 0n : 1n)) * 2 ** -shift;
  return a < 0n === b < 0n ? magnitude : -magnitude;
}

/** `-value` or `+value`. */
export function applySign(negative: boolean, value: Value): Value {
  if (value instanceof Undefined) value.fail();
  if (!isNumber(value)) typeError(`bad operand type for unary ${negative ? "-" : "+"}: '${typeName(value)}'`);
  if (typeof value === "number") return negative ? -value : value;
  return negative ? -BigInt(value) : BigInt(value);
}

/** `a operator b`, for one comparison of a chain. */
export function applyComparison(meter: Meter, operator: Comparison, a: Value, b: Value): boolean {
  switch (operator) {
    case "==":
      return equal(meter, a, b);
    case "!=":
      return !equal(meter, a, b);
    case "in":
      return contains(meter, b, a);
    case "not in":
      return !contains(meter, b, a);
    case "<":
      return compare(meter, a, b, operator) < 0;
    case "<=":
      return compare(meter, a, b, operator) <= 0;
    case ">":
      return compare(meter, a, b, operator) > 0;
    case ">=":
      return compare(meter, a, b, operator) >= 0;
  }
}
