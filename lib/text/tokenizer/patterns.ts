import { Tokenizer as Library } from "@huggingface/tokenizers";
import { isObject } from "../../check.ts";
import type { Component } from "./component.ts";
import { REFUSALS } from "./refusals.ts";
import { portable } from "./regex-dialect.ts";

/** Where a pattern matches: [start, end) in UTF-16 units, ascending. */
export type Matches = Iterable<readonly [start: number, end: number]>;

/** What a Split or Replace looks for. */
export interface Pattern {
  matches(text: string): Matches;
  /** The text cut by its matches, if nothing lies between them or there are none: so do most patterns that cut words, and this is the fastest way. */
  words(text: string): string[] | undefined;
  /** The text that it finds; `undefined` for a regular expression. */
  literal: string | undefined;
}

/** The pattern of a component, `{ String }` or `{ Regex }` in Oniguruma's dialect. */
export function patternOf(component: Component): Pattern {
  const { pattern } = component.json;
  if (!isObject(pattern)) throw component.invalid("pattern", pattern, "an object with String or Regex");
  if (typeof pattern.String === "string") return literalPattern(pattern.String);
  if (typeof pattern.Regex !== "string") throw component.invalid("pattern", pattern, "an object with String or Regex");
  return regexPattern(pattern.Regex, component);
}

/** A pattern that is written in JavaScript's dialect, with flags u and g. */
export function scriptPattern(regex: RegExp): Pattern {
  return { matches: (text) => regexMatches(regex, text), words: (text) => adjacentMatches(regex, text), literal: undefined };
}

function literalPattern(literal: string): Pattern {
  if (literal === "") return scriptPattern(/(?:)/gu);
  return { matches: (text) => literalMatches(literal, text), words: () => undefined, literal };
}

function* literalMatches(literal: string, text: string): Matches {
  for (let at = text.indexOf(literal); at >= 0; at = text.indexOf(literal, at + literal.length)) yield [at, at + literal.length];
}

/** What the translation drops or means otherwise without a word. */
const UNKNOWN: readonly (readonly [RegExp, string])[] = [
  [/(?<!\\)(?:\\\\)*\\G/, REFUSALS.lineStart],
  // A reference to a group that took no part fails in Oniguruma and is empty in JavaScript.
  [/(?<!\\)(?:\\\\)*\\[1-9k]/, REFUSALS.references],
  // Beyond ASCII: sharp s is ss, a ligature its letters, and so on.
  [/\(\?i(?:\).*|:[^)]*)(?:ss|st|f[fil]|[^\0-\x7f]|\\[pP]\{\^?(?:L[ult]\b|Upper|Lower)|\[:\^?(?:upper|lower))/is, REFUSALS.foldedLetters],
];

function regexPattern(source: string, component: Component): Pattern {
  const unknown = UNKNOWN.find(([pattern]) => pattern.test(source));
  if (unknown !== undefined) throw component.unsupported(unknown[1]);
  return scriptPattern(translate(portable(source.replace(/^\(\?i\)(.*)$/s, "(?i:$1)")), component));
}

/** The library translates Oniguruma's dialect into JavaScript's: the pattern of a Split is what it makes of one. */
function translate(source: string, component: Component): RegExp {
  const pre_tokenizer = { type: "Split", pattern: { Regex: source }, behavior: "Isolated", invert: false };
  const shell = { added_tokens: [], normalizer: null, post_processor: null, decoder: null, model: { type: "BPE", vocab: {}, merges: [] } };
  try {
    return new Library({ ...shell, pre_tokenizer }, {}).pre_tokenizer.pattern;
  } catch (error) {
    throw component.unsupported(`the regular expression can't be translated: ${(error as Error).message}`);
  }
}

/**
 * Oniguruma's matches one after the other: an empty match that touches the one before is none, and the search goes on a character later.
 */
function* regexMatches(regex: RegExp, text: string): Matches {
  let lastEnd = -1;
  for (let at = 0; at <= text.length; ) {
    regex.lastIndex = at;
    const match = regex.exec(text);
    if (match === null) return;
    // V8 finds empty matches inside a surrogate pair.
    if (isInsidePair(text, match.index)) {
      at = match.index + 1;
      continue;
    }
    const end = match.index + match[0].length;
    if (end === match.index && end === lastEnd) {
      at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
      continue;
    }
    yield [match.index, end];
    at = end;
    lastEnd = end;
  }
}

function isInsidePair(text: string, position: number): boolean {
  return position > 0 && text.codePointAt(position - 1)! > 0xffff;
}

function adjacentMatches(regex: RegExp, text: string): string[] | undefined {
  const words = text.match(regex) ?? [text];
  let length = 0;
  for (const word of words) length += word.length;
  return length === text.length ? words : undefined;
}
