import { formatFloat } from "./format-spec.ts";
import { CALL, type Meter, TemplateError } from "./meter.ts";
import { toFloat, toIndex, truncated } from "./numbers.ts";
import { repr, toStr } from "./print.ts";
import { checkKey, isNumber } from "./sequences.ts";
import { Builder, ofTemplate, Str } from "./strings.ts";
import { Dict, List, Tuple, typeError, typeName, Undefined, type Value } from "./values.ts";

const CONVERSION = /%(?:\(([^)]*)\))?([-+ #0]*)(\*|\d*)(?:\.(\*|\d*))?[hlL]?(.?)/gsu;
const MAX_WIDTH = 1 << 24;

/** `template % given`. */
export function percentFormat(meter: Meter, template: Str, given: Value): Str {
  const values = new Values(meter, given);
  const out = new Builder(meter);
  let position = 0;
  for (const match of template.text.matchAll(CONVERSION)) {
    const [whole, key, flags, width, precision, code] = match as unknown as string[];
    out.add(template.slice(position, match.index));
    position = match.index + whole!.length;
    if (code === "%") {
      out.add(template.slice(position - 1, position));
      continue;
    }
    const size = (text: string | undefined): number => (text === "*" ? toIndex(values.next()) : Math.min(Number(text), MAX_WIDTH));
    const spec = { flags: flags!, width: size(width), precision: precision === undefined ? undefined : size(precision), code: code! };
    meter.spend(CALL + Math.abs(spec.width) + (spec.precision ?? 0));
    addConversion(meter, out, spec, key === undefined ? values.next() : values.named(key));
  }
  values.checkUsed();
  return out.add(template.slice(position)).done(template.markup);
}

/** What is formatted: a tuple's elements, a dict's, or one value. */
class Values {
  readonly #meter: Meter;
  readonly #given: Value;
  readonly #items: readonly Value[];
  #next = 0;

  constructor(meter: Meter, given: Value) {
    this.#meter = meter;
    this.#given = given;
    this.#items = given instanceof Tuple ? given.items : [given];
  }

  next(): Value {
    const item = this.#items[this.#next++];
    return item === undefined ? typeError("not enough arguments for format string") : item;
  }

  named(key: string): Value {
    if (!(this.#given instanceof Dict)) typeError("format requires a mapping");
    const entry = this.#given.entries.get(checkKey(this.#meter, ofTemplate(key)));
    if (entry === undefined) throw new TemplateError(`the mapping lacks '${key}'`);
    return entry[1];
  }

  checkUsed(): void {
    const given = this.#given;
    const mayBeUnused = given instanceof Dict || given instanceof List || given instanceof Undefined;
    if (!mayBeUnused && this.#next < this.#items.length) typeError("not all arguments converted during string formatting");
  }
}

interface Conversion {
  flags: string;
  /** A negative one aligns to the left. */
  width: number;
  precision: number | undefined;
  code: string;
}

function addConversion(meter: Meter, out: Builder, spec: Conversion, value: Value): void {
  const { flags, precision, code } = spec;
  const width = Math.abs(spec.width);
  const left = flags.includes("-") || spec.width < 0;
  if ("sra".includes(code) && code !== "") {
    const text = code === "s" ? toStr(meter, value) : repr(meter, value);
    const cut = precision === undefined ? text : text.slice(0, text.offset(Math.min(precision, text.length)));
    addPadded(out, cut, width, left);
    return;
  }
  if (code === "c") {
    addPadded(out, character(value), width, left);
    return;
  }
  const [sign, digits] = numberText(spec, value);
  const zeros = flags.includes("0") && !left ? Math.max(0, width - sign.length - digits.length) : 0;
  meter.spend(zeros);
  addPadded(out, ofTemplate(sign + "0".repeat(zeros) + digits), width, left);
}

function addPadded(out: Builder, string: Str, width: number, left: boolean): void {
  const missing = Math.max(0, width - string.length);
  out.repeat(ofTemplate(" "), left ? 0 : missing).add(string);
  out.repeat(ofTemplate(" "), left ? missing : 0);
}

function character(value: Value): Str {
  if (value instanceof Str && value.length === 1) return value;
  if (typeof value !== "bigint" || value < 0n || value > 0x10ffffn) return typeError("%c requires int or char");
  return ofTemplate(String.fromCodePoint(Number(value)));
}

function numberText({ flags, precision, code }: Conversion, value: Value): [sign: string, digits: string] {
  if (!isNumber(value)) {
    if (value instanceof Undefined) value.fail();
    typeError(`%${code} format: a real number is required, not ${typeName(value)}`);
  }
  const alternate = flags.includes("#");
  const plus = flags.includes("+") ? "+" : flags.includes(" ") ? " " : "";
  if ("eEfFgG".includes(code) && code !== "") {
    const float = toFloat(value);
    const digits = formatFloat(Math.abs(float), code, precision ?? 6, alternate);
    return [float < 0 || Object.is(float, -0) ? "-" : plus, digits];
  }
  if (typeof value === "number" && "oxX".includes(code)) typeError(`%${code} format: an integer is required, not float`);
  const integer = truncated(value);
  const digits = integerText(code, integer < 0n ? -integer : integer).padStart(Math.min(precision ?? 0, MAX_DIGITS), "0");
  const prefix = alternate && "oxX".includes(code) ? `0${code}` : "";
  return [(integer < 0n ? "-" : plus) + prefix, digits];
}

const MAX_DIGITS = 10_000;

function integerText(code: string, magnitude: bigint): string {
  switch (code) {
    case "d":
    case "i":
    case "u":
      return String(magnitude);
    case "o":
      return magnitude.toString(8);
    case "x":
      return magnitude.toString(16);
    case "X":
      return magnitude.toString(16).toUpperCase();
    default:
      throw new TemplateError(code === "" ? "incomplete format" : `unsupported format character '${code}'`);
  }
}
