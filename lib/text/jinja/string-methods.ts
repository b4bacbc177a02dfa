import { LETTER, type Meter, TemplateError } from "./meter.ts";
import { binder, type Given, integerOf, type Method, optionalString, stringOf } from "./native.ts";
import { inLoop, iterate } from "./sequences.ts";
import { expandTabs, partition, replace, splitAt, splitLines, splitSpaces, strip } from "./string-cuts.ts";
import { CASE_MAPPINGS, PREDICATES } from "./string-kinds.ts";
import { makeTranslation, translate } from "./string-translate.ts";
import { Builder, ofTemplate, Str } from "./strings.ts";
import { Bytes, List, Tuple, typeError, typeName, type Value } from "./values.ts";

/** A method with these parameters; walking the string is paid for. */
function method(parameters: string, call: (meter: Meter, self: Str, ...given: Given[]) => Value): Method {
  const bind = binder(parameters);
  return (meter, self, given) => {
    const string = self as Str;
    meter.spend(string.text.length >> 2);
    return call(meter, string, ...bind(given));
  };
}

/** Methods that take a string letter by letter. */
const BY_LETTER: ReadonlySet<string> = new Set(["title", "istitle", "swapcase", "casefold"]);

/** Methods of strings, all that Python's have but `format` and `format_map`, which look up attributes. */
export const STRING_METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ...Array.from(PREDICATES, ([name, holds]): [string, Method] => [name, walking(name, (self) => holds(self.text))]),
  ...Array.from(CASE_MAPPINGS, ([name, change]): [string, Method] => [name, walking(name, (self) => self.map(change))]),
  ["strip", method("chars?", (_meter, self, chars) => strip(self, optionalString(chars), true, true))],
  ["lstrip", method("chars?", (_meter, self, chars) => strip(self, optionalString(chars), true, false))],
  ["rstrip", method("chars?", (_meter, self, chars) => strip(self, optionalString(chars), false, true))],
  ["removeprefix", method("prefix", (_meter, self, prefix) => removePrefix(self, stringOf(prefix).text))],
  ["removesuffix", method("suffix", (_meter, self, suffix) => removeSuffix(self, stringOf(suffix).text))],
  ["startswith", method("prefix start? end?", (_meter, self, prefix, start, end) => isAt(self, prefix, start, end, true))],
  ["endswith", method("suffix start? end?", (_meter, self, suffix, start, end) => isAt(self, suffix, start, end, false))],
  ["find", method("sub start? end?", (_meter, self, ...given) => BigInt(find(self, given, false)))],
  ["rfind", method("sub start? end?", (_meter, self, ...given) => BigInt(find(self, given, true)))],
  ["index", method("sub start? end?", (_meter, self, ...given) => BigInt(found(find(self, given, false))))],
  ["rindex", method("sub start? end?", (_meter, self, ...given) => BigInt(found(find(self, given, true))))],
  ["count", method("sub start? end?", (_meter, self, sub, ...bounds) => BigInt(count(between(self, ...bounds)?.text, stringOf(sub))))],
  ["replace", method("old new count?", (meter, self, old, by, n) => replace(meter, self, stringOf(old), stringOf(by), integerOf(n, -1)))],
  ["split", method("sep? maxsplit?", (meter, self, sep, max) => splitBy(meter, self, sep, max, false))],
  ["rsplit", method("sep? maxsplit?", (meter, self, sep, max) => splitBy(meter, self, sep, max, true))],
  ["splitlines", method("keepends?", (meter, self, keepEnds) => new List(splitLines(meter, self, keepEnds === true || keepEnds === 1n)))],
  ["partition", method("sep", (_meter, self, sep) => new Tuple(partition(self, stringOf(sep), false)))],
  ["rpartition", method("sep", (_meter, self, sep) => new Tuple(partition(self, stringOf(sep), true)))],
  ["join", method("iterable", (meter, self, iterable) => join(meter, self, iterable!))],
  ["center", method("width fillchar?", (meter, self, width, fill) => padded(meter, self, width, fill, "center"))],
  ["ljust", method("width fillchar?", (meter, self, width, fill) => padded(meter, self, width, fill, "left"))],
  ["rjust", method("width fillchar?", (meter, self, width, fill) => padded(meter, self, width, fill, "right"))],
  ["zfill", method("width", (meter, self, width) => zeroFilled(meter, self, integerOf(width, 0)))],
  ["expandtabs", method("tabsize?", (meter, self, size) => expandTabs(meter, self, integerOf(size, 8)))],
  ["encode", method("encoding? errors?", (_meter, self, encoding) => encode(self, encoding))],
  ["maketrans", method("x y? z?", (meter, _self, ...given) => makeTranslation(meter, given))],
  ["translate", method("table", (meter, self, table) => translate(meter, self, table!))],
]);

/** A method without parameters that looks at every character. */
function walking(name: string, call: (self: Str) => Value): Method {
  const cost = BY_LETTER.has(name) ? LETTER : 1;
  return method("", (meter, self) => {
    meter.spend(cost * self.text.length);
    return call(self);
  });
}

function removePrefix(self: Str, prefix: string): Str {
  return self.text.startsWith(prefix) ? self.slice(prefix.length) : self;
}

function removeSuffix(self: Str, suffix: string): Str {
  return suffix !== "" && self.text.endsWith(suffix) ? self.slice(0, self.text.length - suffix.length) : self;
}

/** From one index to another, as in a slice; `undefined` if the start lies behind the end of the string. */
function between(self: Str, start?: Given, end?: Given): Str | undefined {
  if ((start ?? null) === null && (end ?? null) === null) return self;
  const { length } = self;
  const place = (given: Given, otherwise: number): number => {
    const index = integerOf(given, otherwise);
    return index < 0 ? Math.max(0, index + length) : index;
  };
  const [from, to] = [place(start, 0), Math.min(place(end, length), length)];
  return from > length || from > to ? undefined : self.slice(self.offset(from), self.offset(to));
}

function isAt(self: Str, affix: Given, start: Given, end: Given, atStart: boolean): boolean {
  const part = between(self, start, end);
  const affixes = affix instanceof Tuple ? affix.items : [affix];
  return affixes.map(stringOf).some(({ text }) => part !== undefined && (atStart ? part.text.startsWith(text) : part.text.endsWith(text)));
}

/** The index of a string, or -1. */
function find(self: Str, [sub, start, end]: Given[], last: boolean): number {
  const part = between(self, start, end);
  const { text } = stringOf(sub);
  const offset = part === undefined ? -1 : last ? part.text.lastIndexOf(text) : part.text.indexOf(text);
  if (offset < 0) return -1;
  const from = integerOf(start, 0);
  const base = from < 0 ? Math.max(0, from + self.length) : from;
  return base + part!.indexAt(offset);
}

function found(index: number): number {
  if (index < 0) throw new TemplateError("substring not found");
  return index;
}

function count(text: string | undefined, sub: Str): number {
  if (text === undefined) return 0;
  if (sub.text === "") return new Str(text, false).length + 1;
  let times = 0;
  for (let i = text.indexOf(sub.text); i >= 0; i = text.indexOf(sub.text, i + sub.text.length)) times++;
  return times;
}

function splitBy(meter: Meter, self: Str, separator: Given, max: Given, fromEnd: boolean): List {
  const limit = integerOf(max, -1);
  const by = optionalString(separator);
  const times = limit < 0 ? Number.POSITIVE_INFINITY : limit;
  return new List(by === undefined ? splitSpaces(meter, self, times, fromEnd) : splitAt(meter, self, by, times, fromEnd));
}

function join(meter: Meter, separator: Str, iterable: Value): Str {
  const out = new Builder(meter);
  let i = 0;
  for (const item of inLoop(iterate(meter, iterable))) {
    if (!(item instanceof Str)) typeError(`sequence item ${i}: expected str instance, ${typeName(item)} found`);
    if (i++ > 0) out.add(separator);
    out.add(item);
  }
  return out.done(separator.markup);
}

/** With a character on one or both sides, up to a width. */
export function padded(meter: Meter, self: Str, width: Given, fill: Given, align: "left" | "right" | "center"): Str {
  const letter = fill === undefined ? ofTemplate(" ") : stringOf(fill);
  if (letter.length !== 1) typeError("The fill character must be exactly one character long");
  const size = integerOf(width, 0);
  const missing = Math.max(0, size - self.length);
  // As CPython centers: the odd one goes to the left where the width is odd.
  const left = align === "left" ? 0 : align === "right" ? missing : (missing >> 1) + (missing & size & 1);
  return new Builder(meter)
    .repeat(letter, left)
    .add(self)
    .repeat(letter, missing - left)
    .done(self.markup);
}

function zeroFilled(meter: Meter, self: Str, width: number): Str {
  const sign = /^[+-]/.test(self.text) ? 1 : 0;
  const out = new Builder(meter).add(self.slice(0, sign)).repeat(ofTemplate("0"), width - self.length);
  return out.add(self.slice(sign)).done(self.markup);
}

function encode(self: Str, encoding: Given): Bytes {
  const name = (optionalString(encoding)?.text ?? "utf-8").toLowerCase().replaceAll("_", "-");
  const limit = name === "ascii" || name === "us-ascii" ? 0x7f : name === "latin-1" || name === "iso-8859-1" ? 0xff : undefined;
  if (name === "utf-8" || name === "utf8") return new Bytes(Buffer.from(self.text));
  if (limit === undefined) throw new TemplateError(`unknown encoding: ${name}`);
  const fits = Array.from(self.text).every((letter) => letter.codePointAt(0)! <= limit);
  if (!fits) throw new TemplateError(`'${name}' codec can't encode the string`);
  return new Bytes(Buffer.from(self.text, "latin1"));
}
