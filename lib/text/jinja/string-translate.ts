import { type Meter, TemplateError } from "./meter.ts";
import { type Given, optionalString, stringOf } from "./native.ts";
import { checkKey } from "./sequences.ts";
import { Builder, ofTemplate, Str } from "./strings.ts";
import { Dict, type Key, typeError, type Value } from "./values.ts";

/** `str.maketrans`: code points, and what takes their places. */
export function makeTranslation(meter: Meter, [x, y, z]: Given[]): Dict {
  const entries = new Map<Key, readonly [Value, Value]>();
  const set = (letter: string, value: Value): void => {
    const point = BigInt(letter.codePointAt(0)!);
    entries.set(point, [point, value]);
  };
  if (y === undefined) {
    if (!(x instanceof Dict)) return typeError("if you give only one argument to maketrans it must be a dict");
    for (const [key, value] of x.entries.values()) {
      if (key instanceof Str && key.length !== 1) throw new TemplateError("string keys in translate table must be of length 1");
      if (key instanceof Str) set(key.text, value);
      else entries.set(checkKey(meter, key), [key, value]);
    }
    return new Dict(entries);
  }
  const [from, to] = [[...stringOf(x).text], [...stringOf(y).text]];
  if (from.length !== to.length) throw new TemplateError("the first two maketrans arguments must have equal length");
  for (const [i, letter] of from.entries()) set(letter, BigInt(to[i]!.codePointAt(0)!));
  for (const letter of optionalString(z)?.text ?? "") set(letter, null);
  return new Dict(entries);
}

/** `text.translate(table)`. */
export function translate(meter: Meter, string: Str, table: Value): Str {
  if (!(table instanceof Dict)) return typeError("a translation table has to be a dict");
  const out = new Builder(meter);
  let offset = 0;
  for (const letter of string.text) {
    const original = string.slice(offset, offset + letter.length);
    offset += letter.length;
    const value = table.entries.get(BigInt(letter.codePointAt(0)!));
    if (value === undefined) out.add(original);
    else if (value[1] instanceof Str) out.add(value[1]);
    else if (typeof value[1] === "bigint") out.add(ofTemplate(String.fromCodePoint(Number(value[1]))));
    else if (value[1] !== null) typeError("character mapping must return integer, None or str");
  }
  return out.done(string.markup);
}
