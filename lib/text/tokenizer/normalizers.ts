import { counted, KvasirError } from "../../errors.ts";
import { toByteLevel } from "./byte-level.ts";
import { Component } from "./component.ts";
import { type Pattern, patternOf } from "./patterns.ts";

/** What happens to a text before it is cut into words. */
export interface Normalizer {
  /** Throws TOKENIZER_FAILED rather than make more than `limit` UTF-16 units. */
  apply(text: string, limit: number): string;
  /** At most so many bytes of text become one byte; Infinity where text may vanish. */
  shrink: number;
  /** Whether its result is bytes as byte-level BPE writes them. */
  bytes: boolean;
}

/** What one component does. `bytes` of a chain is that of the last component. */
type Step = Partial<Normalizer> & Pick<Normalizer, "apply">;

const NORMALIZERS: Record<string, (component: Component) => Step> = {
  NFC: () => unicodeForm("NFC"),
  NFD: () => unicodeForm("NFD"),
  NFKC: () => unicodeForm("NFKC"),
  NFKD: () => unicodeForm("NFKD"),
  // Character by character, as Rust's char has it: a final sigma is a sigma. U+212A (3 bytes) becomes k.
  Lowercase: () => ({ apply: (text) => text.replace(/\p{Changes_When_Lowercased}/gu, (c) => c.toLowerCase()), shrink: 3 }),
  StripAccents: () => ({ apply: (text) => text.replace(/\p{M}/gu, ""), shrink: Number.POSITIVE_INFINITY }),
  Strip: strip,
  Prepend: prepend,
  Replace: (component) => replace(patternOf(component), component.string("content")),
  ByteLevel: () => ({ apply: toByteLevel, bytes: true }),
};

/** The normalizer of a tokenizer.json, which may be absent. */
export function compileNormalizer(json: unknown, file: string): Normalizer {
  const steps = Component.chain(json, "normalizers", "normalizer", file).map((component) => {
    const make = Object.hasOwn(NORMALIZERS, component.type) ? NORMALIZERS[component.type] : undefined;
    if (make === undefined) throw component.unknown(Object.keys(NORMALIZERS));
    return make(component);
  });
  const apply = (text: string, limit: number): string =>
    steps.reduce((normalized, step) => withinLimit(step.apply(normalized, limit), limit), text);
  const shrink = steps.reduce((product, step) => product * (step.shrink ?? 1), 1);
  return { apply, shrink, bytes: steps.at(-1)?.bytes ?? false };
}

/** The text, if it is no longer than `limit`: a file must not make gigabytes of a prompt. */
function withinLimit(text: string, limit: number): string {
  if (text.length > limit) throw tooLong(limit);
  return text;
}

/** The error for a text that grows beyond its limit. */
export function tooLong(limit: number): KvasirError {
  return new KvasirError("TOKENIZER_FAILED", `the tokenizer makes more than ${counted(limit, "character")} of the text`);
}

/** Composing takes 3 bytes for 1 at most, compatibility 4 (mathematical letters, U+1D400 and up); both at once are taken as their product. */
function unicodeForm(form: "NFC" | "NFD" | "NFKC" | "NFKD"): Step {
  return { apply: (text) => text.normalize(form), shrink: form.includes("K") ? 12 : 3 };
}

function strip(component: Component): Step {
  const left = component.boolean("strip_left");
  const right = component.boolean("strip_right");
  const apply = (text: string): string => {
    const start = left ? text.search(/\P{White_Space}|$/u) : 0;
    return text.slice(start, right ? trimmedEnd(text, start) : text.length);
  };
  return { apply, shrink: Number.POSITIVE_INFINITY };
}

const WHITE_SPACE = /^\p{White_Space}$/u;

/** Where white space at the end of a text begins; not before `start`. (A regular expression would take quadratic time.) */
export function trimmedEnd(text: string, start: number): number {
  let end = text.length;
  while (end > start && WHITE_SPACE.test(text[end - 1]!)) end--;
  return end;
}

function prepend(component: Component): Step {
  const prefix = component.string("prepend");
  return { apply: (text) => (text === "" ? text : prefix + text) };
}

function replace(pattern: Pattern, content: string): Step {
  const { literal } = pattern;
  const shrink = literal === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Buffer.byteLength(literal) / Buffer.byteLength(content));
  const apply = (text: string, limit: number): string => {
    if (text === "") return text;
    const parts: string[] = [];
    let last = 0;
    let length = text.length;
    for (const [start, end] of pattern.matches(text)) {
      length += content.length - (end - start);
      // Each content is on top of what is kept of the text.
      if (length - text.length > limit) throw tooLong(limit);
      parts.push(text.slice(last, start), content);
      last = end;
    }
    return last === 0 && parts.length === 0 ? text : parts.join("") + text.slice(last);
  };
  return { apply, shrink };
}
