import { LETTER, TemplateError } from "./meter.ts";
import { type Given, integerOf, optionalString, stringOf } from "./native.ts";
import type { Runtime } from "./runtime.ts";
import { truth } from "./sequences.ts";
import { splitLines } from "./string-cuts.ts";
import { Builder, ofTemplate, SPACE, type Str } from "./strings.ts";
import type { Value } from "./values.ts";

/** Pieces of a line between which it may be broken: words with the white space between them, and words at their hyphens. */
const CHUNKS = /[\t\n\v\f\r ]+|[^\t\n\v\f\r ]+/g;
const HYPHENATED = /[^-]*[\p{L}\p{N}_]-(?=[\p{L}_][\p{L}\p{N}_])|[^-]+|-+/gu;
const BLANK = new RegExp(`^[${SPACE}]*$`);

/** Breaks lines so that none is longer than a width, where that is possible. */
export function wordWrap(runtime: Runtime, value: Value, width: Given, breakLong: Given, separator: Given, onHyphens: Given): Value {
  const { meter } = runtime;
  const text = stringOf(value);
  const between = optionalString(separator) ?? ofTemplate("\n");
  const isOn = (given: Given): boolean => given === undefined || truth(given);
  const wrapper = new Wrapper(integerOf(width, 79), isOn(breakLong), isOn(onHyphens));
  const out = new Builder(meter);
  for (const [i, line] of splitLines(meter, text, false).entries()) {
    meter.spend(4 * LETTER * line.text.length);
    if (i > 0) out.add(between);
    for (const [j, pieces] of wrapper.wrap(line).entries()) {
      if (j > 0) out.add(between);
      for (const piece of pieces) out.add(piece);
    }
  }
  return out.done(text.markup);
}

class Wrapper {
  readonly #width: number;
  readonly #breakLong: boolean;
  readonly #onHyphens: boolean;

  constructor(width: number, breakLong: boolean, onHyphens: boolean) {
    if (width <= 0) throw new TemplateError(`invalid width ${width} (must be > 0)`);
    this.#width = width;
    this.#breakLong = breakLong;
    this.#onHyphens = onHyphens;
  }

  /** Lines, as the pieces that they are made of. */
  wrap(line: Str): Str[][] {
    const chunks = this.#chunks(line).reverse();
    const lines: Str[][] = [];
    while (chunks.length > 0) {
      if (lines.length > 0 && BLANK.test(chunks.at(-1)!.text)) chunks.pop();
      const taken = this.#take(chunks);
      if (taken.length > 0 && BLANK.test(taken.at(-1)!.text)) taken.pop();
      if (taken.length > 0) lines.push(taken);
    }
    return lines;
  }

  #chunks(line: Str): Str[] {
    const chunks: Str[] = [];
    for (const { index, 0: word } of line.text.matchAll(CHUNKS)) {
      if (!this.#onHyphens) {
        chunks.push(line.slice(index, index + word.length));
        continue;
      }
      for (const part of word.matchAll(HYPHENATED)) chunks.push(line.slice(index + part.index, index + part.index + part[0].length));
    }
    return chunks;
  }

  /** What fits on a line; of a word that fits on none, as much as does. */
  #take(chunks: Str[]): Str[] {
    const taken: Str[] = [];
    let length = 0;
    while (chunks.length > 0 && length + chunks.at(-1)!.length <= this.#width) {
      length += chunks.at(-1)!.length;
      taken.push(chunks.pop()!);
    }
    const next = chunks.at(-1);
    if (next === undefined || next.length <= this.#width) return taken;
    if (this.#breakLong) {
      const space = next.offset(Math.max(1, this.#width - length));
      taken.push(next.slice(0, space));
      chunks[chunks.length - 1] = next.slice(space);
    } else if (taken.length === 0) {
      taken.push(chunks.pop()!);
    }
    return taken;
  }
}
