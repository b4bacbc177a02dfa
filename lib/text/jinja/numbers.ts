import { TemplateError } from "./meter.ts";
import { typeError, typeName, type Value } from "./values.ts";

/** Most digits of an integer: Python reads and prints no more. */
export const MAX_DIGITS = 4300;
const MAX_BITS = 14_284n;
const MAX_INTEGER = 1n << MAX_BITS;

/** An integer that is not too large to be worked with. */
export function boundedInteger(value: bigint): bigint {
  if (value > MAX_INTEGER || value < -MAX_INTEGER) throw new TemplateError(`an integer has more than ${MAX_DIGITS} digits`);
  return value;
}

/** `int(value)` of a number; a float's fraction is dropped. */
export function truncated(value: boolean | bigint | number): bigint {
  if (typeof value !== "number") return BigInt(value);
  if (!Number.isFinite(value)) throw new TemplateError(`cannot convert float ${Number.isNaN(value) ? "NaN" : "infinity"} to integer`);
  return BigInt(Math.trunc(value));
}

/** A number as a float. */
export function toFloat(value: boolean | bigint | number): number {
  const float = Number(value);
  if (typeof value === "bigint" && !Number.isFinite(float)) throw new TemplateError("int too large to convert to float");
  return float;
}

/** An argument that has to be an integer, within what JavaScript counts exactly. */
export function toIndex(value: Value): number {
  if (typeof value !== "bigint" && typeof value !== "boolean") typeError(`'${typeName(value)}' object cannot be interpreted as an integer`);
  const index = Number(value);
  return Math.min(Math.max(index, -Number.MAX_SAFE_INTEGER), Number.MAX_SAFE_INTEGER);
}

/** `repr` of a float: the fewest digits that give it back, with an exponent below 1e-4 and from 1e16 on. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  const [digits, power] = value.toExponential().split("e") as [string, string];
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) return digits + exponentText(exponent);
  const text = Object.is(value, -0) ? "-0" : String(value);
  return text.includes(".") ? text : `${text}.0`;
}

/** As Python writes it: a sign and two digits at least. */
export function exponentText(exponent: number): string {
  return `e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
}

/** `round(|value| * 10 ** digits)` of the exact value, halves to even. */
export function scaled(value: number, digits: number): bigint {
  const [numerator, denominator] = fraction(Math.abs(value));
  const shifted = numerator * 10n ** BigInt(Math.max(0, digits));
  const divisor = denominator * 10n ** BigInt(Math.max(0, -digits));
  const quotient = shifted / divisor;
  const twice = 2n * (shifted % divisor);
  return twice > divisor || (twice === divisor && quotient % 2n === 1n) ? quotient + 1n : quotient;
}

/** A finite float from 0 on as a fraction whose denominator is a power of two. */
function fraction(value: number): [numerator: bigint, denominator: bigint] {
  let denominator = 1n;
  let scaledValue = value;
  while (!Number.isInteger(scaledValue)) {
    scaledValue *= 2;
    denominator *= 2n;
  }
  return [BigInt(scaledValue), denominator];
}

/** `round(value, digits)`. */
export function rounded(value: boolean | bigint | number, digits: number): bigint | number {
  if (typeof value !== "number") {
    const integer = BigInt(value);
    if (digits >= 0) return integer;
    const unit = 10n ** BigInt(Math.min(-digits, MAX_DIGITS));
    const half = floorDivide(2n * integer + unit, 2n * unit);
    // A tie went up: to the even one.
    return ((2n * integer + unit) % (2n * unit) === 0n && half % 2n !== 0n ? half - 1n : half) * unit;
  }
  if (!Number.isFinite(value) || digits > 323) return value;
  if (digits < -309) return Math.sign(value) * 0;
  const magnitude = Number(`${scaled(value, digits)}e${-digits}`);
  return value < 0 || Object.is(value, -0) ? -magnitude : magnitude;
}

/** Towards minus infinity. */
export function floorDivide(a: bigint, b: bigint): bigint {
  const quotient = a / b;
  return a % b !== 0n && a < 0n !== b < 0n ? quotient - 1n : quotient;
}

/** `a ** b`. */
export function power(a: boolean | bigint | number, b: boolean | bigint | number): bigint | number {
  if (typeof a === "number" || typeof b === "number") return floatPower(toFloat(a), toFloat(b));
  const [base, exponent] = [BigInt(a), BigInt(b)];
  if (exponent < 0n) return floatPower(toFloat(base), toFloat(exponent));
  const bits = BigInt((base < 0n ? -base : base).toString(2).length);
  if (base !== 0n && base !== 1n && base !== -1n && (bits - 1n) * exponent > MAX_BITS) boundedInteger(MAX_INTEGER + 1n);
  return boundedInteger(base ** exponent);
}

function floatPower(base: number, exponent: number): number {
  if (base === 0 && exponent < 0) throw new TemplateError("0.0 cannot be raised to a negative power");
  // Python has 1.0 for these, JavaScript NaN.
  if (base === 1 || (base === -1 && !Number.isFinite(exponent) && !Number.isNaN(exponent))) return 1;
  const result = base ** exponent;
  if (!Number.isFinite(result) && Number.isFinite(base) && Number.isFinite(exponent)) throw new TemplateError("the result is too large");
  return result;
}

const INTEGER = /^([+-]?)(0[bBoOxX](?=_?[\da-zA-Z]))?_?([\da-zA-Z]+(?:_[\da-zA-Z]+)*)$/;
const BASES = new Map([
  ["b", 2],
  ["o", 8],
  ["x", 16],
]);

/** `int(text, base)`, or `undefined` where it isn't one. */
export function parseInteger(text: string, base: number): bigint | undefined {
  const trimmed = trimmedNumber(text);
  const match = trimmed.length > MAX_DIGITS + 10 ? null : INTEGER.exec(trimmed);
  if (match === null) return undefined;
  const [, sign, prefix, rest] = match;
  const prefixed = prefix === undefined ? undefined : BASES.get(prefix[1]!.toLowerCase());
  // In base 36 all letters of a prefix are digits.
  const hasPrefix = prefixed !== undefined && (base === 0 || base === prefixed);
  const digits = hasPrefix ? rest! : trimmed.replace(/^[+-]/, "");
  if (digits.startsWith("_") || (base === 0 && !hasPrefix && /^0[0_]*[1-9]/.test(digits))) return undefined;
  const magnitude = digitsValue(digits.replaceAll("_", ""), hasPrefix ? prefixed : base === 0 ? 10 : base);
  return magnitude === undefined ? undefined : sign === "-" ? -magnitude : magnitude;
}

function digitsValue(digits: string, radix: number): bigint | undefined {
  let value = 0n;
  for (const letter of digits) {
    const digit = Number.parseInt(letter, 36);
    if (!(digit < radix)) return undefined;
    value = value * BigInt(radix) + BigInt(digit);
  }
  return value;
}

const FLOAT = /^[+-]?(?:\d+(?:_\d+)*\.?(?:\d+(?:_\d+)*)?|\.\d+(?:_\d+)*)(?:[eE][+-]?\d+(?:_\d+)*)?$/;
const SPECIAL_FLOAT = /^([+-]?)(inf|infinity|nan)$/i;

/** `float(text)`, or `undefined` where it isn't one. */
export function parseFloatText(text: string): number | undefined {
  const trimmed = trimmedNumber(text);
  if (FLOAT.test(trimmed)) return Number(trimmed.replaceAll("_", ""));
  const special = SPECIAL_FLOAT.exec(trimmed);
  if (special === null) return undefined;
  const value = special[2]!.toLowerCase() === "nan" ? Number.NaN : Number.POSITIVE_INFINITY;
  return special[1] === "-" ? -value : value;
}

/** Without white space around it, and with the digits of all scripts as ASCII ones. */
function trimmedNumber(text: string): string {
  return text.trim().replace(/(?![\d])\p{Nd}/gu, (digit) => String(decimalDigit(digit.codePointAt(0)!)));
}

/** Scripts have their ten digits one after the other. */
function decimalDigit(point: number): number {
  let zero = point;
  while (/\p{Nd}/u.test(String.fromCodePoint(zero - 1))) zero--;
  return (point - zero) % 10;
}
