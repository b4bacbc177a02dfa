import { ITEM, type Meter } from "./meter.ts";
import { floatText } from "./numbers.ts";
import { Builder, EMPTY, ofTemplate, Str } from "./strings.ts";
import { Bytes, Dict, DictView, IntegerRange, List, Namespace, Thing, Tuple, typeName, Undefined, type Value } from "./values.ts";

/** `str(value)`: what is printed. Numbers, None, True and False count as the template's: no special token can be spelled with them. */
export function toStr(meter: Meter, value: Value): Str {
  if (value instanceof Str) return value;
  if (value instanceof Undefined) return EMPTY;
  if (value instanceof Thing) return repr(meter, value);
  return ofTemplate(scalarText(meter, value));
}

/** `repr(value)`. */
export function repr(meter: Meter, value: Value): Str {
  const out = new Builder(meter);
  writeRepr(meter, out, value);
  return out.done();
}

function scalarText(meter: Meter, value: null | boolean | bigint | number): string {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (typeof value === "number") return floatText(value);
  const text = String(value);
  // Large integers take time that grows with the square of their digits.
  meter.spend(text.length * (1 + (text.length >> 6)));
  return text;
}

function writeRepr(meter: Meter, out: Builder, value: Value): void {
  meter.spend(2 * ITEM);
  if (value instanceof Str) writeQuoted(out, value);
  else if (value instanceof List) writeItems(meter, out, "[", value.items, "]");
  else if (value instanceof Tuple) writeItems(meter, out, "(", value.items, value.items.length === 1 ? ",)" : ")");
  else if (value instanceof Dict) writeDict(meter, out, value);
  else if (value instanceof DictView) writeItems(meter, out, `${value.typeName}([`, value.dict.list(value.part), "])");
  else if (value instanceof Namespace) writeNamespace(meter, out, value);
  else if (value instanceof IntegerRange) out.write(rangeText(value));
  else if (value instanceof Bytes) out.write(bytesText(value.bytes));
  else if (value instanceof Undefined) out.write("Undefined");
  else out.write(value instanceof Thing ? `<${value.typeName} object>` : scalarText(meter, value));
}

function writeItems(meter: Meter, out: Builder, open: string, items: readonly Value[], close: string): void {
  out.write(open);
  for (const [i, item] of items.entries()) {
    if (i > 0) out.write(", ");
    writeRepr(meter, out, item);
  }
  out.write(close);
}

function writeDict(meter: Meter, out: Builder, { entries }: Dict): void {
  let separator = "{";
  for (const [key, value] of entries.values()) {
    out.write(separator);
    writeRepr(meter, out, key);
    out.write(": ");
    writeRepr(meter, out, value);
    separator = ", ";
  }
  out.write(entries.size === 0 ? "{}" : "}");
}

function writeNamespace(meter: Meter, out: Builder, { values }: Namespace): void {
  out.write("<Namespace {");
  for (const [i, [name, value]] of [...values].entries()) {
    out.write(`${i > 0 ? ", " : ""}'${name}': `);
    writeRepr(meter, out, value);
  }
  out.write("}>");
}

function rangeText({ start, stop, step }: IntegerRange): string {
  return step === 1n ? `range(${start}, ${stop})` : `range(${start}, ${stop}, ${step})`;
}

function bytesText(bytes: Uint8Array): string {
  const text = Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const escaped = text.replace(/[^ -~]|[\\'"]/g, (letter) => {
    if (letter === "'" || letter === '"') return letter === quote ? `\\${letter}` : letter;
    return SIMPLE_ESCAPES.get(letter) ?? `\\x${hex(letter.charCodeAt(0), 2)}`;
  });
  return `b${quote}${escaped}${quote}`;
}

/** What Python doesn't print as it is. */
const ESCAPED = /[\\'"\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu;
const SIMPLE_ESCAPES = new Map([
  ["\\", "\\\\"],
  ["\n", "\\n"],
  ["\r", "\\r"],
  ["\t", "\\t"],
]);

function writeQuoted(out: Builder, string: Str): void {
  const quote = string.text.includes("'") && !string.text.includes('"') ? '"' : "'";
  const escaped = (letter: string): string => {
    if (letter === "'" || letter === '"') return letter === quote ? `\\${letter}` : letter;
    return SIMPLE_ESCAPES.get(letter) ?? escapedPoint(letter.codePointAt(0)!);
  };
  out.write(string.markup ? `Markup(${quote}` : quote);
  for (const part of string.parts()) out.write(part.text.replace(ESCAPED, escaped), part.written === true);
  out.write(string.markup ? `${quote})` : quote);
}

function escapedPoint(point: number): string {
  if (point <= 0xff) return `\\x${hex(point, 2)}`;
  return point <= 0xffff ? `\\u${hex(point, 4)}` : `\\U${hex(point, 8)}`;
}

/** Lower-case digits. */
export function hex(value: number, width: number): string {
  return value.toString(16).padStart(width, "0");
}

/** What a value is called in an error about an attribute. */
export function nameOfType(value: Value): string {
  return value === null ? "None" : `'${typeName(value)} object'`;
}
