import { type Meter, TemplateError } from "./meter.ts";
import { exponentText, floatText, scaled, toFloat, truncated } from "./numbers.ts";
import { toStr } from "./print.ts";
import { isNumber } from "./sequences.ts";
import { Builder, ofTemplate, Str } from "./strings.ts";
import { typeError, typeName, type Value } from "./values.ts";

const SPEC = /^(?:(.)?([<>=^]))?([-+ ])?(z)?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([a-zA-Z%])?$/su;

/** Most characters that a width or a precision may ask for; the meter has less in most cases. */
const MAX_WIDTH = 1 << 24;

interface Spec {
  fill: string;
  align: string;
  /** Without the "=" that a leading zero stands for. */
  explicitAlign: string;
  sign: string;
  hasSign: boolean;
  /** Whether -0 loses its sign. */
  withoutNegativeZero: boolean;
  alternate: boolean;
  grouping: string;
  width: number;
  precision: number | undefined;
  type: string;
}

/** `format(value, spec)`. */
export function formatValue(meter: Meter, value: Value, text: string): Str {
  if (text === "") return toStr(meter, value);
  const spec = parseSpec(text);
  meter.spend(spec.width + (spec.precision ?? 0));
  if (value instanceof Str) return formatString(meter, value, spec);
  if (!isNumber(value)) return typeError(`unsupported format string passed to ${typeName(value)}.__format__`);
  return pad(meter, ofTemplate(formatNumber(value, spec, spec.align === "=" ? spec.width : 0)), spec, ">");
}

function parseSpec(text: string): Spec {
  const match = SPEC.exec(text);
  if (match === null) throw new TemplateError(`Invalid format specifier '${text}'`);
  const [, fill, align, sign, negativeZero, alternate, zero, width = "0", grouping = "", precision, type = ""] = match;
  return {
    fill: fill ?? (zero === undefined ? " " : "0"),
    align: align ?? (zero === undefined ? "" : "="),
    explicitAlign: align ?? "",
    sign: sign ?? "-",
    hasSign: sign !== undefined,
    withoutNegativeZero: negativeZero !== undefined,
    alternate: alternate !== undefined,
    grouping,
    width: Math.min(Number(width), MAX_WIDTH),
    precision: precision === undefined ? undefined : Math.min(Number(precision), MAX_WIDTH),
    type,
  };
}

function formatString(meter: Meter, string: Str, spec: Spec): Str {
  if (spec.type !== "" && spec.type !== "s") throw new TemplateError(`Unknown format code '${spec.type}' for object of type 'str'`);
  if (spec.explicitAlign === "=" || spec.hasSign || spec.grouping !== "" || spec.withoutNegativeZero) {
    throw new TemplateError("'=', signs, 'z' and separators are not allowed in string format specifier");
  }
  const cut = spec.precision === undefined ? string : string.slice(0, string.offset(Math.min(spec.precision, string.length)));
  return pad(meter, cut, { ...spec, align: spec.explicitAlign }, "<");
}

function pad(meter: Meter, string: Str, { fill, align, width }: Spec, standard: string): Str {
  const missing = width - string.length;
  if (missing <= 0) return string;
  const side = align === "" || align === "=" ? (align === "=" ? ">" : standard) : align;
  const left = side === "<" ? 0 : side === ">" ? missing : missing >> 1;
  return new Builder(meter)
    .repeat(ofTemplate(fill), left)
    .add(string)
    .repeat(ofTemplate(fill), missing - left)
    .done();
}

/** A number with its sign, and zeros between sign and digits up to a width. */
function formatNumber(value: boolean | bigint | number, spec: Spec, width: number): string {
  const isFloat = typeof value === "number" || "eEfFgG%".includes(spec.type || "d");
  if (!isFloat && spec.withoutNegativeZero) throw new TemplateError("'z' is not allowed in integer format specifier");
  const negative = isFloat ? toFloat(value) < 0 || (Object.is(value, -0) && !spec.withoutNegativeZero) : BigInt(value as bigint) < 0n;
  const [prefix, digits] = isFloat ? ["", floatDigits(Math.abs(toFloat(value)), spec)] : integerDigits(truncated(value), spec);
  const sign = (negative ? "-" : spec.sign === "-" ? "" : spec.sign) + prefix;
  const grouped = spec.grouping === "" ? digits : group(digits, spec.grouping, "bBoxX".includes(spec.type || "d") ? 4 : 3);
  if (width <= sign.length + grouped.length) return sign + grouped;
  if (spec.fill !== "0" || spec.grouping === "") return sign + spec.fill.repeat(width - sign.length - grouped.length) + grouped;
  return sign + zeroGrouped(digits, spec, width - sign.length);
}

function zeroGrouped(digits: string, spec: Spec, width: number): string {
  const size = "bBoxX".includes(spec.type || "d") ? 4 : 3;
  const integer = size === 4 ? digits.length : /^\d*/.exec(digits)![0].length;
  let count = integer;
  while (count + Math.floor((count - 1) / size) + digits.length - integer < width) count++;
  return group("0".repeat(count - integer) + digits, spec.grouping, size);
}

function integerDigits(value: bigint, { type, alternate, precision }: Spec): [prefix: string, digits: string] {
  if (precision !== undefined) throw new TemplateError("Precision not allowed in integer format specifier");
  const magnitude = value < 0n ? -value : value;
  switch (type) {
    case "":
    case "d":
    case "n":
      return ["", String(magnitude)];
    case "b":
    case "o":
    case "x":
      return [alternate ? `0${type}` : "", magnitude.toString({ b: 2, o: 8, x: 16 }[type])];
    case "X":
      return [alternate ? "0X" : "", magnitude.toString(16).toUpperCase()];
    case "c":
      return ["", String.fromCodePoint(Number(value))];
    default:
      throw new TemplateError(`Unknown format code '${type}' for object of type 'int'`);
  }
}

function floatDigits(value: number, { type, precision, alternate }: Spec): string {
  if (type === "") return precision === undefined ? floatText(value) : general(value, precision, alternate, true);
  return formatFloat(value, type, precision ?? 6, alternate);
}

/** A float from 0 on by one of the codes `e`, `f`, `g`, `%`, upper or lower case. */
export function formatFloat(value: number, type: string, precision: number, alternate: boolean): string {
  if (!"eEfFgGn%".includes(type)) throw new TemplateError(`Unknown format code '${type}' for object of type 'float'`);
  if (type === "%") return `${finiteText(value * 100, "f", precision, alternate)}%`;
  const lower = type.toLowerCase();
  const text = finiteText(value, lower, precision, alternate);
  return type === lower ? text : text.toUpperCase();
}

function finiteText(value: number, type: string, precision: number, alternate: boolean): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : "inf";
  if (type === "f") return fixed(value, precision, alternate);
  return type === "e" ? exponential(value, precision, alternate) : general(value, precision, alternate, false);
}

/** No more digits are asked of a double than these; all that follow are zeros. */
const MAX_DIGITS = 1100;

function fixed(value: number, precision: number, alternate: boolean): string {
  const digits = Math.min(precision, MAX_DIGITS);
  const text = String(scaled(value, digits)).padStart(digits + 1, "0");
  const integer = text.slice(0, text.length - digits);
  if (precision === 0) return integer + (alternate ? "." : "");
  return `${integer}.${text.slice(text.length - digits)}${"0".repeat(precision - digits)}`;
}

/** The digits of a float, the first of which isn't 0, and the power of ten of the first. */
function significant(value: number, digits: number): [digits: string, exponent: number] {
  if (value === 0) return ["0".repeat(digits), 0];
  let exponent = Number(value.toExponential().split("e")[1]);
  let text = String(scaled(value, digits - 1 - exponent));
  if (text.length > digits) {
    exponent++;
    text = String(scaled(value, digits - 1 - exponent));
  }
  return [text, exponent];
}

function exponential(value: number, precision: number, alternate: boolean): string {
  const kept = Math.min(precision, MAX_DIGITS);
  const [digits, exponent] = significant(value, kept + 1);
  const tail = digits.slice(1) + "0".repeat(precision - kept);
  return `${digits[0]}${tail !== "" || alternate ? "." : ""}${tail}${exponentText(exponent)}`;
}

/** As few characters as `precision` digits take; `withPoint` keeps one digit behind the point, as `str` does. */
function general(value: number, precision: number, alternate: boolean, withPoint: boolean): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "nan" : "inf";
  const count = Math.min(Math.max(precision, 1), MAX_DIGITS);
  const [digits, exponent] = significant(value, count);
  if (exponent < -4 || exponent >= (withPoint ? count - 1 : count)) {
    const tail = alternate ? digits.slice(1) : digits.slice(1).replace(/0+$/, "");
    return `${digits[0]}${tail === "" ? "" : "."}${tail}${exponentText(exponent)}`;
  }
  const text = exponent < 0 ? `0.${"0".repeat(-exponent - 1)}${digits}` : `${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`;
  const stripped = alternate ? text : text.replace(/0+$/, "");
  return stripped.endsWith(".") && !alternate ? stripped.slice(0, -1) + (withPoint ? ".0" : "") : stripped;
}

/** Separators between groups of digits before the point. */
function group(text: string, separator: string, size: number): string {
  const end = size === 4 ? text.length : /^\d*/.exec(text)![0].length;
  const groups: string[] = [];
  for (let i = end; i > 0; i -= size) groups.unshift(text.slice(Math.max(0, i - size), i));
  return groups.join(separator) + text.slice(end);
}
