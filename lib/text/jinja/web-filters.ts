import { escapeHtml } from "./html.ts";
import { LETTER, type Meter, TemplateError } from "./meter.ts";
import { filter, type Given } from "./native.ts";
import { toStr } from "./print.ts";
import type { Filter, Runtime } from "./runtime.ts";
import { inLoop, isIterable, iterate, listOf, truth } from "./sequences.ts";
import { Builder, ofData, ofTemplate, Str } from "./strings.ts";
import { Dict, typeError, typeName, Undefined, type Value } from "./values.ts";

/** Filters that make parts of URLs and HTML; `urlize`, which makes links for web pages, isn't among them. */
export const WEB_FILTERS: readonly [string, Filter][] = [
  ["urlencode", filter("", urlEncode)],
  ["xmlattr", filter("autospace?", xmlAttributes)],
];

function urlEncode({ meter }: Runtime, value: Value): Value {
  if (value instanceof Str || !isIterable(value)) return quoted(meter, value, "/");
  const out = new Builder(meter);
  const pairs = value instanceof Dict ? value.list("items").values() : iterate(meter, value);
  for (const pair of inLoop(pairs)) {
    const [key, element, ...more] = listOf(meter, pair);
    if (key === undefined || element === undefined || more.length > 0) typeError("expected pairs of a key and a value");
    if (out.length > 0) out.write("&", true);
    out
      .add(quoted(meter, key, ""))
      .write("=", true)
      .add(quoted(meter, element, ""));
  }
  return out.done();
}

/** Percent-encoded UTF-8 but for letters, digits, `_.-~` and those that are safe; a query has "+" for a space. */
function quoted(meter: Meter, value: Value, safe: string): Str {
  const { text } = toStr(meter, value);
  meter.spend(2 * LETTER * text.length);
  const encoded = Array.from(Buffer.from(text), (byte) => {
    const letter = String.fromCharCode(byte);
    if (/[\w.~-]/.test(letter) || safe.includes(letter)) return letter;
    return letter === " " && safe === "" ? "+" : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  });
  return ofData(encoded.join(""));
}

function xmlAttributes({ meter }: Runtime, value: Value, autospace: Given): Value {
  if (value instanceof Undefined) value.fail();
  if (!(value instanceof Dict)) typeError(`'${typeName(value)}' object has no attribute 'items'`);
  const out = new Builder(meter);
  for (const [key, element] of value.entries.values()) {
    if (element === null || element instanceof Undefined) continue;
    const name = toStr(meter, key);
    if (/[ \t\n\r\f\v/>=]/.test(name.text)) throw new TemplateError(`Invalid character in attribute name: '${name.text}'`);
    if (out.length > 0 || autospace === undefined || truth(autospace)) out.add(ofTemplate(" "));
    out.add(escapeHtml(meter, name)).write('="', true);
    out.add(escapeHtml(meter, toStr(meter, element))).write('"', true);
  }
  return out.done();
}
