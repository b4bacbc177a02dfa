import { LETTER, type Meter } from "./meter.ts";
import { Builder, SPACE, Str } from "./strings.ts";

const ENTITIES = new Map([
  ["&", "&amp;"],
  ["<", "&lt;"],
  [">", "&gt;"],
  ["'", "&#39;"],
  ['"', "&#34;"],
]);
const NAMED = new Map([
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
  ["nbsp", "\u00a0"],
]);
const SPACES = new RegExp(`[${SPACE}]+`);

/** As HTML; HTML stays as it is. */
export function escapeHtml(meter: Meter, string: Str): Str {
  if (string.markup) return string;
  meter.spend((LETTER >> 4) * string.text.length);
  const out = new Builder(meter);
  for (const part of string.parts()) out.write(escapeText(part.text), part.written === true);
  return out.done(true);
}

/** Text as HTML. */
export function escapeText(text: string): string {
  return text.replace(/[&<>'"]/g, (letter) => ENTITIES.get(letter)!);
}

/** Without comments and tags, white space as single spaces, entities as what they stand for. */
export function stripTags(meter: Meter, string: Str): Str {
  meter.spend((LETTER >> 2) * string.text.length);
  const text = without(without(string.text, "<!--", "-->"), "<", ">");
  const words = text.split(SPACES).filter((word) => word !== "");
  return new Str(unescapeText(words.join(" ")), string.written === true);
}

/** Without what stands between these marks; the first without its end ends the search. */
function without(text: string, open: string, close: string): string {
  let kept = "";
  let position = 0;
  for (;;) {
    const start = text.indexOf(open, position);
    const end = start < 0 ? -1 : text.indexOf(close, start);
    if (end < 0) return kept + text.slice(position);
    kept += text.slice(position, start);
    position = end + close.length;
  }
}

function unescapeText(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#[xX]([\da-fA-F]{1,6})|(\w{2,8}));/g, (entity, decimal, hexadecimal, name) => {
    if (name !== undefined) return NAMED.get(name) ?? entity;
    const point = decimal === undefined ? Number.parseInt(hexadecimal, 16) : Number(decimal);
    return point === 0 || point > 0x10ffff || (point & 0xfff800) === 0xd800 ? "\ufffd" : String.fromCodePoint(point);
  });
}
