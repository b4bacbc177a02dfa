import type { Meter } from "./meter.ts";

/**
 * Which parts of a string the template wrote: all, none, or ranges [start, end, start, end, ...] in UTF-16 units, ascending, none empty,
 * none touching the next.
 */
export type Written = boolean | readonly number[];

/** A string that knows which of its parts the template wrote, and which came from what it was given. Well-formed Unicode. */
export class Str {
  readonly text: string;
  readonly written: Written;
  /** Whether it counts as HTML that is escaped (`Markup`). */
  readonly markup: boolean;
  #length: number | undefined;

  constructor(text: string, written: Written, markup = false) {
    this.text = text;
    this.written = written;
    this.markup = markup;
  }

  /** In code points, as Python counts. */
  get length(): number {
    this.#length ??= countCodePoints(this.text);
    return this.#length;
  }

  /** The UTF-16 offset of a code point's index from 0 to `length`. */
  offset(index: number): number {
    if (this.length === this.text.length) return index;
    let offset = 0;
    for (let i = 0; i < index; i++) offset += this.text.codePointAt(offset)! > 0xffff ? 2 : 1;
    return offset;
  }

  /** The index of the code point at a UTF-16 offset. */
  indexAt(offset: number): number {
    return this.length === this.text.length ? offset : countCodePoints(this.text.slice(0, offset));
  }

  /** Between two UTF-16 offsets. */
  slice(start: number, end: number = this.text.length): Str {
    if (start === 0 && end === this.text.length) return this;
    return new Str(this.text.slice(start, end), cut(this.written, start, end), this.markup);
  }

  /** Its parts of one origin each. */
  parts(): Str[] {
    const { text, written } = this;
    if (typeof written === "boolean") return [this];
    const parts: Str[] = [];
    let end = 0;
    for (let i = 0; i < written.length; i += 2) {
      if (written[i]! > end) parts.push(new Str(text.slice(end, written[i]), false));
      parts.push(new Str(text.slice(written[i], written[i + 1]), true));
      end = written[i + 1]!;
    }
    if (end < text.length) parts.push(new Str(text.slice(end), false));
    return parts;
  }

  /** Changed as a whole. Origins stay where they are if no length changes; otherwise a string of both origins is nobody's. */
  map(change: (text: string) => string): Str {
    const text = change(this.text);
    const kept = typeof this.written === "boolean" || text.length === this.text.length;
    return new Str(text, kept && this.written, this.markup);
  }
}

/** A string that the template wrote. */
export function ofTemplate(text: string): Str {
  return new Str(text, true);
}

/** A string that nobody may take for the template's. */
export function ofData(text: string): Str {
  return new Str(text, false);
}

/** The empty string. */
export const EMPTY: Str = ofTemplate("");

/** Makes a string of pieces, each of which is paid for. */
export class Builder {
  readonly #meter: Meter;
  #text = "";
  readonly #written: number[] = [];

  constructor(meter: Meter) {
    this.#meter = meter;
  }

  /** So far, in UTF-16 units. */
  get length(): number {
    return this.#text.length;
  }

  /** Appends a string with its origins. */
  add({ text, written }: Str): this {
    if (typeof written === "boolean") return this.write(text, written);
    this.#meter.spend(text.length + written.length);
    const start = this.#text.length;
    for (let i = 0; i < written.length; i += 2) this.#mark(start + written[i]!, start + written[i + 1]!);
    this.#text += text;
    return this;
  }

  /** Appends text of one origin. */
  write(text: string, byTemplate = false): this {
    this.#meter.spend(text.length);
    const start = this.#text.length;
    this.#text += text;
    if (byTemplate && text !== "") this.#mark(start, this.#text.length);
    return this;
  }

  /** Appends `count` times. */
  repeat(piece: Str, count: number): this {
    if (piece.text === "" || count <= 0) return this;
    this.#meter.spend(count * piece.text.length);
    if (typeof piece.written === "boolean") return this.write(piece.text.repeat(count), piece.written);
    for (let i = 0; i < count; i++) this.add(piece);
    return this;
  }

  /** The string. */
  done(markup = false): Str {
    return new Str(this.#text, simplest(this.#written, this.#text.length), markup);
  }

  #mark(start: number, end: number): void {
    const written = this.#written;
    if (written.length > 0 && written.at(-1) === start) written[written.length - 1] = end;
    else written.push(start, end);
  }
}

/** One after the other. Costs less than a copy of each character: JavaScript copies them at once, and only when it needs them. */
export function concat(meter: Meter, a: Str, b: Str): Str {
  if (a.text === "") return b;
  if (b.text === "") return a;
  meter.spend((a.text.length + b.text.length) >> 3);
  if (typeof a.written === "boolean" && a.written === b.written) return new Str(a.text + b.text, a.written, a.markup);
  const [left, right] = [rangesOf(a), rangesOf(b)];
  meter.spend(left.length + right.length);
  const start = a.text.length;
  const touching = left.at(-1) === start && right[0] === 0;
  const moved = right.map((place) => place + start);
  const written = touching ? [...left.slice(0, -1), ...moved.slice(1)] : [...left, ...moved];
  return new Str(a.text + b.text, simplest(written, start + b.text.length), a.markup);
}

/** The ranges of a string that the template wrote, as a flat list. */
export function rangesOf({ text, written }: Str): readonly number[] {
  if (typeof written !== "boolean") return written;
  return written && text !== "" ? [0, text.length] : [];
}

function simplest(written: readonly number[], length: number): Written {
  if (written.length === 0) return false;
  return written.length === 2 && written[0] === 0 && written[1] === length ? true : written;
}

function cut(written: Written, start: number, end: number): Written {
  if (typeof written === "boolean") return written;
  const ranges: number[] = [];
  for (let i = firstEndingAfter(written, start); i < written.length && written[i]! < end; i += 2) {
    ranges.push(Math.max(written[i]!, start) - start, Math.min(written[i + 1]!, end) - start);
  }
  return simplest(ranges, end - start);
}

/** The place of the first range that ends after `offset`, by bisection. */
function firstEndingAfter(written: readonly number[], offset: number): number {
  let [low, high] = [0, written.length / 2];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (written[2 * middle + 1]! > offset) high = middle;
    else low = middle + 1;
  }
  return 2 * low;
}

function countCodePoints(text: string): number {
  let pairs = 0;
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) === 0xd800) pairs++;
  return text.length - pairs;
}

/** Compares as Python does, by code points. */
export function compareTexts(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
    // Surrogates stand for what lies beyond U+FFFF.
    if (x !== y) return ((x & 0xf800) === 0xd800) === ((y & 0xf800) === 0xd800) ? x - y : (x & 0xf800) === 0xd800 ? 1 : -1;
  }
  return a.length - b.length;
}

/** White space as Python sees it; differs from JavaScript's in U+001C to U+001F, U+0085 and U+FEFF. For use in a character class. */
export const SPACE = "\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
