import { escapeHtml, stripTags } from "./html.ts";
import { type JsonOptions, toJson } from "./json.ts";
import { LETTER, type Meter, TemplateError } from "./meter.ts";
import { filter, type Given, integerOf, optionalString, stringOf } from "./native.ts";
import { toIndex } from "./numbers.ts";
import { add } from "./operators.ts";
import { percentFormat } from "./percent-format.ts";
import { repr, toStr } from "./print.ts";
import type { Filter, Runtime } from "./runtime.ts";
import { lengthOf, listOf, truth } from "./sequences.ts";
import { replace, splitAt, splitLines, strip } from "./string-cuts.ts";
import { capitalize, lower } from "./string-kinds.ts";
import { padded } from "./string-methods.ts";
import { Builder, ofData, ofTemplate, Str } from "./strings.ts";
import { type ArgumentValues, Dict, type Key, Tuple, typeError, typeName, Undefined, type Value } from "./values.ts";
import { wordWrap } from "./word-wrap.ts";

/** A filter of what prints as a string. */
function textFilter(parameters: string, apply: (meter: Meter, text: Str, ...given: Given[]) => Value): Filter {
  return filter(parameters, ({ meter }, value, ...given) => {
    const text = toStr(meter, value);
    meter.spend(text.text.length);
    return apply(meter, text, ...given);
  });
}

/** Filters of text. */
export const TEXT_FILTERS: readonly [string, Filter][] = [
  ["string", textFilter("", (_meter, text) => text)],
  ["upper", textFilter("", (_meter, text) => text.map((whole) => whole.toUpperCase()))],
  ["lower", textFilter("", (_meter, text) => text.map(lower))],
  ["capitalize", textFilter("", (_meter, text) => text.map(capitalize))],
  ["title", textFilter("", titled)],
  ["trim", textFilter("chars?", (_meter, text, chars) => strip(text, optionalString(chars), true, true))],
  ["center", textFilter("width?", (meter, text, width) => padded(meter, text, width ?? 80n, undefined, "center"))],
  ["replace", textFilter("old new count?", replaced)],
  ["wordcount", textFilter("", wordCount)],
  ["wordwrap", filter("width? break_long_words? wrapstring? break_on_hyphens?", wordWrap)],
  ["indent", filter("width? first? blank?", indent)],
  ["truncate", filter("length? killwords? end? leeway?", truncate)],
  ["format", (runtime, value, given) => format(runtime.meter, toStr(runtime.meter, value), given)],
  ["pprint", filter("", ({ meter }, value) => repr(meter, withSortedKeys(value)))],
  ["tojson", filter("ensure_ascii? indent? separators? sort_keys?", json)],
  ["escape", textFilter("", escapeHtml)],
  ["e", textFilter("", escapeHtml)],
  ["forceescape", textFilter("", (meter, { text, written }) => escapeHtml(meter, new Str(text, written)))],
  ["safe", textFilter("", (_meter, { text, written }) => new Str(text, written, true))],
  ["striptags", textFilter("", stripTags)],
];

function replaced(meter: Meter, text: Str, old: Given, by: Given, count: Given): Str {
  return replace(meter, text, toStr(meter, old!), toStr(meter, by!), integerOf(count, -1));
}

/** Words begin behind white space and opening brackets. */
function wordCount(meter: Meter, { text }: Str): bigint {
  meter.spend((LETTER >> 2) * text.length);
  return BigInt(text.match(/[\p{L}\p{N}_]+/gu)?.length ?? 0);
}

function titled(meter: Meter, text: Str): Str {
  meter.spend(LETTER * text.text.length);
  return text.map(title);
}

function title(text: string): string {
  return text.replace(/[^-\s({[<]+/gu, (word) => {
    const first = String.fromCodePoint(word.codePointAt(0)!);
    return first.toUpperCase() + lower(word.slice(first.length));
  });
}

function isTrue(given: Given): boolean {
  return given !== undefined && truth(given);
}

function indent({ meter }: Runtime, value: Value, width: Given, first: Given, blank: Given): Value {
  if (value instanceof Undefined) value.fail();
  const text = stringOf(value);
  const indention = width instanceof Str ? width : new Builder(meter).repeat(ofTemplate(" "), integerOf(width, 4)).done();
  const lines = splitLines(meter, add(meter, text, ofTemplate("\n")), false);
  const out = new Builder(meter);
  for (const [i, line] of lines.entries()) {
    if (i > 0) out.write("\n", true);
    if (i === 0 ? isTrue(first) : isTrue(blank) || line.text !== "") out.add(indention);
    out.add(line);
  }
  return out.done(text.markup);
}

function truncate({ meter }: Runtime, value: Value, most: Given, killWords: Given, end: Given, leeway: Given): Value {
  const tail = end === undefined ? ofTemplate("...") : stringOf(end);
  const limit = integerOf(most, 255);
  if (limit < tail.length) throw new TemplateError(`expected length >= ${tail.length}, got ${limit}`);
  if (integerOf(leeway, 5) < 0) throw new TemplateError(`expected leeway >= 0, got ${integerOf(leeway, 5)}`);
  const length = lengthOf(value) ?? typeError(`object of type '${typeName(value)}' has no len()`);
  if (length <= limit + integerOf(leeway, 5)) return value;
  const text = stringOf(value);
  const cut = text.slice(0, text.offset(limit - tail.length));
  return add(meter, isTrue(killWords) ? cut : splitAt(meter, cut, ofTemplate(" "), 1, true)[0]!, tail);
}

function format(meter: Meter, text: Str, { positional, named }: ArgumentValues): Value {
  if (positional.length > 0 && named.size > 0) throw new TemplateError("can't handle positional and keyword arguments at the same time");
  if (named.size === 0) return percentFormat(meter, text, new Tuple(positional));
  return percentFormat(
    meter,
    text,
    new Dict(new Map(Array.from(named, ([key, value]): [Key, [Value, Value]] => [key, [ofTemplate(key), value]]))),
  );
}

function json({ meter }: Runtime, value: Value, ensureAscii: Given, indention: Given, separators: Given, sortKeys: Given): Value {
  const [item, key] = separators === undefined || separators === null ? [] : listOf(meter, separators).map(stringOf);
  const level = jsonIndent(meter, indention);
  const options: JsonOptions = {
    indent: level,
    separators: [item ?? ofData(level === undefined ? ", " : ","), key ?? ofData(": ")],
    sortKeys: isTrue(sortKeys),
    ensureAscii: isTrue(ensureAscii),
  };
  return toJson(meter, value, options);
}

function jsonIndent(meter: Meter, indention: Given): Str | undefined {
  if (indention === undefined || indention === null) return undefined;
  return indention instanceof Str ? indention : new Builder(meter).repeat(ofTemplate(" "), toIndex(indention)).done();
}

function withSortedKeys(value: Value): Value {
  if (!(value instanceof Dict)) return value;
  const sorted = [...value.entries].sort(([a], [b]) => (String(a) < String(b) ? -1 : 1)) as [Key, readonly [Value, Value]][];
  return new Dict(new Map(sorted.map(([key, [name, element]]): [Key, [Value, Value]] => [key, [name, withSortedKeys(element)]])));
}
