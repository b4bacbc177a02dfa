import { ITEM, type Meter, TemplateError } from "./meter.ts";
import { binder, type Given, integerOf, type Method, optionalString } from "./native.ts";
import { checkKey, equal, inLoop, iterate, listOf } from "./sequences.ts";
import { ofData } from "./strings.ts";
import { type Bytes, Dict, DictView, IntegerRange, type Key, type List, typeError, typeName, type Value } from "./values.ts";

function method<Self extends Value>(parameters: string, call: (meter: Meter, self: Self, ...given: Given[]) => Value): Method {
  const bind = binder(parameters);
  return (meter, self, given) => call(meter, self as Self, ...bind(given));
}

/** Methods of dicts, but for those that would change one. */
export const DICT_METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["keys", method("", (_meter, self: Dict) => new DictView(self, "keys"))],
  ["values", method("", (_meter, self: Dict) => new DictView(self, "values"))],
  ["items", method("", (_meter, self: Dict) => new DictView(self, "items"))],
  ["get", method("key default?", (meter, self: Dict, key, otherwise) => valueAt(self, checkKey(meter, key!), otherwise))],
  ["copy", method("", (_meter, self: Dict) => self)],
  ["fromkeys", method("iterable value?", (meter, _self: Dict, keys, value) => fromKeys(meter, keys!, value ?? null))],
]);

function valueAt({ entries }: Dict, key: Key, otherwise: Given = null): Value {
  const entry = entries.get(key);
  return entry === undefined ? otherwise : entry[1];
}

function fromKeys(meter: Meter, keys: Value, value: Value): Dict {
  const entries = new Map<Key, readonly [Value, Value]>();
  for (const key of inLoop(iterate(meter, keys))) entries.set(checkKey(meter, key), [key, value]);
  return new Dict(entries);
}

/** Methods of lists, tuples and ranges, but for those that would change one. */
export const SEQUENCE_METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["index", method("value start? stop?", (meter, self, ...given) => indexOf(meter, self, given))],
  ["count", method("value", (meter, self, value) => BigInt(listOf(meter, self).filter((item) => equal(meter, item, value!)).length))],
  ["copy", method("", (_meter, self: List) => self)],
]);

function indexOf(meter: Meter, self: Value, [value, start, stop]: Given[]): bigint {
  const items = listOf(meter, self);
  const place = (index: number): number => (index < 0 ? Math.max(0, index + items.length) : index);
  const end = Math.min(items.length, place(integerOf(stop, items.length)));
  for (let i = place(integerOf(start, 0)); i < end; i++) if (equal(meter, items[i]!, value!)) return BigInt(i);
  throw new TemplateError(self instanceof IntegerRange ? "the value is not in range" : `the value is not in ${typeName(self)}`);
}

/** Methods of integers and floats. */
export const NUMBER_METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["is_integer", method("", (_meter, self) => (typeof self === "number" ? Number.isInteger(self) : true))],
  ["bit_length", method("", (_meter, self) => bitLength(self))],
  ["conjugate", method("", (_meter, self) => self)],
]);

function bitLength(self: Value): bigint {
  if (typeof self === "number") return typeError("'float' object has no attribute 'bit_length'");
  const value = BigInt(self as bigint | boolean);
  return value === 0n ? 0n : BigInt((value < 0n ? -value : value).toString(2).length);
}

/** Methods of bytes. */
export const BYTES_METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["decode", method("encoding? errors?", (meter, self: Bytes, encoding) => decode(meter, self, optionalString(encoding)?.text ?? "utf-8"))],
  ["hex", method("", (meter, self: Bytes) => paidText(meter, self, "hex"))],
]);

function decode(meter: Meter, self: Bytes, encoding: string): Value {
  const name = encoding.toLowerCase().replaceAll("_", "-");
  if (name === "latin-1" || name === "iso-8859-1") return paidText(meter, self, "latin1");
  if (name !== "utf-8" && name !== "utf8" && name !== "ascii") throw new TemplateError(`unknown encoding: ${encoding}`);
  if (name === "ascii" && self.bytes.some((byte) => byte > 0x7f)) throw new TemplateError("'ascii' codec can't decode the bytes");
  return paidText(meter, self, "utf8");
}

function paidText(meter: Meter, { bytes }: Bytes, encoding: BufferEncoding): Value {
  meter.spend(ITEM + 2 * bytes.length);
  return ofData(Buffer.from(bytes).toString(encoding));
}
