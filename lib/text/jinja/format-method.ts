import { formatValue } from "./format-spec.ts";
import { CALL, type Meter, TemplateError } from "./meter.ts";
import { repr, toStr } from "./print.ts";
import { Builder, ofTemplate, type Str } from "./strings.ts";
import { type ArgumentValues, Dict, typeError, typeName, type Value } from "./values.ts";

/** How a field finds what its name leads to. */
export interface FieldLookup {
  attribute(meter: Meter, object: Value, name: string): Value;
  item(meter: Meter, object: Value, key: Value): Value;
}

/** `template.format(...)`: fields in braces, with attributes, items, conversions and specifications that may have fields themselves. */
export function formatMethod(meter: Meter, template: Str, given: ArgumentValues, lookup: FieldLookup): Str {
  return new Formatter(meter, given, lookup).format(template, 2);
}

/** `template.format_map(mapping)`. */
export function namedBy(mapping: Value): ArgumentValues {
  if (!(mapping instanceof Dict)) return typeError(`'${typeName(mapping)}' object is not a mapping`);
  return { positional: [], named: new Map(Array.from(mapping.entries, ([key, [, value]]): [string, Value] => [String(key), value])) };
}

class Formatter {
  readonly #meter: Meter;
  readonly #given: ArgumentValues;
  readonly #lookup: FieldLookup;
  /** The next field without a name; `undefined` once fields have numbers. */
  #automatic: number | undefined = 0;

  constructor(meter: Meter, given: ArgumentValues, lookup: FieldLookup) {
    this.#meter = meter;
    this.#given = given;
    this.#lookup = lookup;
  }

  format(template: Str, depth: number): Str {
    if (depth === 0) throw new TemplateError("Max string recursion exceeded");
    const out = new Builder(this.#meter);
    const { text } = template;
    let position = 0;
    for (let i = nextBrace(text, 0); i < text.length; i = nextBrace(text, position)) {
      out.add(template.slice(position, i));
      if (text[i + 1] === text[i]) {
        out.add(template.slice(i, i + 1));
        position = i + 2;
        continue;
      }
      if (text[i] === "}") throw new TemplateError("Single '}' encountered in format string");
      const end = closingBrace(text, i);
      out.add(this.#field(template.slice(i + 1, end), depth));
      position = end + 1;
    }
    return out.add(template.slice(position)).done(template.markup);
  }

  #field(field: Str, depth: number): Str {
    this.#meter.spend(CALL);
    const [, name, conversion, spec] = /^((?:[^!:[]|\[[^\]]*\])*)(?:!([^:]*))?(?::(.*))?$/s.exec(field.text) ?? [];
    if (name === undefined) throw new TemplateError("expected ':' after conversion specifier");
    const value = this.#value(name);
    const converted = conversion === undefined ? value : this.#converted(value, conversion);
    return formatValue(this.#meter, converted, spec === undefined ? "" : this.format(ofTemplate(spec), depth - 1).text);
  }

  #value(name: string): Value {
    const [, first = "", rest = ""] = /^([^.[]*)(.*)$/s.exec(name)!;
    let value = this.#argument(first);
    for (const [, attribute, item] of rest.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g)) {
      value =
        attribute !== undefined
          ? this.#lookup.attribute(this.#meter, value, attribute)
          : this.#lookup.item(this.#meter, value, /^\d+$/.test(item!) ? BigInt(item!) : ofTemplate(item!));
    }
    return value;
  }

  #argument(name: string): Value {
    if (name !== "" && !/^\d+$/.test(name)) {
      const value = this.#given.named.get(name);
      if (value === undefined) throw new TemplateError(`format lacks the argument '${name}'`);
      return value;
    }
    const index = name === "" ? this.#automatic : Number(name);
    if (index === undefined) throw new TemplateError("cannot switch from manual field specification to automatic field numbering");
    this.#automatic = name === "" ? index + 1 : undefined;
    const value = this.#given.positional[index];
    if (value === undefined) throw new TemplateError(`Replacement index ${index} out of range for positional args tuple`);
    return value;
  }

  #converted(value: Value, conversion: string): Value {
    if (conversion === "s") return toStr(this.#meter, value);
    if (conversion === "r" || conversion === "a") return repr(this.#meter, value);
    throw new TemplateError(`Unknown conversion specifier ${conversion}`);
  }
}

function nextBrace(text: string, from: number): number {
  for (let i = from; i < text.length; i++) if (text[i] === "{" || text[i] === "}") return i;
  return text.length;
}

function closingBrace(text: string, start: number): number {
  let depth = 0;
  for (let i = start; i < text.length; i++) {
    if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0) return i;
  }
  throw new TemplateError("expected '}' before end of string");
}
