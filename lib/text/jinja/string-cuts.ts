import { ITEM, type Meter, TemplateError } from "./meter.ts";
import { Builder, EMPTY, ofTemplate, SPACE, type Str } from "./strings.ts";

const IS_SPACE = new RegExp(`[${SPACE}]`);
const LINE_ENDS = "\\n\\r\\v\\f\\x1c-\\x1e\\x85\\u2028\\u2029";
const LINE_END = new RegExp(`\\r\\n|[${LINE_ENDS}]`, "g");

/** Whether a UTF-16 unit is white space to Python. */
export function isSpace(unit: string): boolean {
  return IS_SPACE.test(unit);
}

/** Without these characters, or white space, at its start and end. */
export function strip(string: Str, chars: Str | undefined, atStart: boolean, atEnd: boolean): Str {
  const { text } = string;
  const set = chars === undefined ? undefined : new Set(chars.text);
  const isStripped = (letter: string): boolean => (set === undefined ? isSpace(letter) : set.has(letter));
  let [start, end] = [0, text.length];
  for (; atStart && start < end; start += letterAt(text, start).length) if (!isStripped(letterAt(text, start))) break;
  for (; atEnd && end > start; end -= letterBefore(text, end).length) if (!isStripped(letterBefore(text, end))) break;
  return string.slice(start, end);
}

function letterAt(text: string, offset: number): string {
  return String.fromCodePoint(text.codePointAt(offset)!);
}

function letterBefore(text: string, offset: number): string {
  const isPair = offset > 1 && (text.charCodeAt(offset - 1) & 0xfc00) === 0xdc00;
  return text.slice(offset - (isPair ? 2 : 1), offset);
}

/** Cut at a separator, at most `max` times. */
export function splitAt(meter: Meter, string: Str, separator: Str, max: number, fromEnd: boolean): Str[] {
  const { text } = string;
  const by = separator.text;
  if (by === "") throw new TemplateError("empty separator");
  const pieces: Str[] = [];
  let [start, end] = [0, text.length];
  while (pieces.length < max) {
    meter.spend(ITEM);
    const at = fromEnd ? (end < by.length ? -1 : text.lastIndexOf(by, end - by.length)) : text.indexOf(by, start);
    if (at < 0) break;
    pieces.push(fromEnd ? string.slice(at + by.length, end) : string.slice(start, at));
    if (fromEnd) end = at;
    else start = at + by.length;
  }
  pieces.push(string.slice(start, end));
  return fromEnd ? pieces.reverse() : pieces;
}

/** Cut at white space, at most `max` times; no piece is empty. */
export function splitSpaces(meter: Meter, string: Str, max: number, fromEnd: boolean): Str[] {
  meter.spend(string.text.length);
  const pieces: Str[] = [];
  let rest = strip(string, undefined, !fromEnd, fromEnd);
  while (rest.text !== "" && pieces.length < max) {
    meter.spend(2 * ITEM);
    const [start, end] = fromEnd ? lastSpaces(rest.text) : firstSpaces(rest.text);
    if (start < 0) break;
    pieces.push(fromEnd ? rest.slice(end) : rest.slice(0, start));
    rest = fromEnd ? rest.slice(0, start) : rest.slice(end);
  }
  if (rest.text !== "") pieces.push(rest);
  return fromEnd ? pieces.reverse() : pieces;
}

function firstSpaces(text: string): [start: number, end: number] {
  const start = text.search(IS_SPACE);
  let end = start;
  while (end >= 0 && end < text.length && isSpace(text[end]!)) end++;
  return [start, end];
}

function lastSpaces(text: string): [start: number, end: number] {
  let end = text.length;
  while (end > 0 && !isSpace(text[end - 1]!)) end--;
  let start = end;
  while (start > 0 && isSpace(text[start - 1]!)) start--;
  return end === 0 ? [-1, -1] : [start, end];
}

/** Its lines; an end of line at the end makes no further one. */
export function splitLines(meter: Meter, string: Str, keepEnds: boolean): Str[] {
  const lines: Str[] = [];
  let start = 0;
  for (const { index, 0: end } of string.text.matchAll(LINE_END)) {
    meter.spend(ITEM);
    lines.push(string.slice(start, index + (keepEnds ? end.length : 0)));
    start = index + end.length;
  }
  if (start < string.text.length) lines.push(string.slice(start));
  return lines;
}

/** What stands before a separator, the separator, and what stands behind it. */
export function partition(string: Str, separator: Str, last: boolean): Str[] {
  if (separator.text === "") throw new TemplateError("empty separator");
  const at = last ? string.text.lastIndexOf(separator.text) : string.text.indexOf(separator.text);
  if (at < 0) return last ? [EMPTY, EMPTY, string] : [string, EMPTY, EMPTY];
  const end = at + separator.text.length;
  return [string.slice(0, at), string.slice(at, end), string.slice(end)];
}

/** With `by` for `old`, at most `max` times unless that is negative. */
export function replace(meter: Meter, string: Str, old: Str, by: Str, max: number): Str {
  const limit = max < 0 ? Number.POSITIVE_INFINITY : max;
  const out = new Builder(meter);
  const { text } = string;
  let [position, times] = [0, 0];
  for (let at = text.indexOf(old.text); at >= 0 && times < limit; at = nextMatch(text, old.text, at)) {
    meter.spend(2 * ITEM);
    out.add(string.slice(position, at)).add(by);
    position = at + old.text.length;
    times++;
  }
  return times === 0 ? string : out.add(string.slice(position)).done(string.markup);
}

/** Between all characters an empty text is found, at both ends, too. */
function nextMatch(text: string, old: string, at: number): number {
  if (old !== "") return text.indexOf(old, at + old.length);
  return at >= text.length ? -1 : at + letterAt(text, at).length;
}

/** With spaces for tabs, up to the next multiple of a size. */
export function expandTabs(meter: Meter, string: Str, size: number): Str {
  const out = new Builder(meter);
  let column = 0;
  for (const piece of splitKeeping(string, /[\t\n\r]/g)) {
    const isTab = piece.text === "\t";
    const spaces = size > 0 ? size - (column % size) : 0;
    if (isTab) out.repeat(ofTemplate(" "), spaces);
    else out.add(piece);
    column = isTab ? column + spaces : piece.text === "\n" || piece.text === "\r" ? 0 : column + piece.length;
  }
  return out.done(string.markup);
}

/** What a pattern finds, and what lies between. */
export function* splitKeeping(string: Str, pattern: RegExp): Generator<Str, undefined, undefined> {
  let position = 0;
  for (const { index, 0: match } of string.text.matchAll(pattern)) {
    if (index > position) yield string.slice(position, index);
    yield string.slice(index, index + match.length);
    position = index + match.length;
  }
  if (position < string.text.length) yield string.slice(position);
}
