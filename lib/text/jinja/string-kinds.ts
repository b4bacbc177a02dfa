import { SPACE } from "./strings.ts";

const ONLY_SPACE = new RegExp(`^[${SPACE}]+$`);

/** Numerals that are letters to Unicode's categories. */
const NUMERIC_LETTERS = "㐅㒃㠪㭍一七万三九二五亖亿什仟仨伍佰億兆兩八六十千卄卅卌叁参參叄四壱壹壺廾廿弌弍弎弐拾捌柒玖百肆貮貳贰阡陆陌陸零";

/** Digits that are no decimal ones: superscripts, circled digits. */
const CIRCLED = "①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒";
const DIGITS = new RegExp(`^[\\p{Nd}²³¹⁰⁴-⁹₀-₉${CIRCLED}]+$`, "u");
const NUMERIC = new RegExp(`^[\\p{N}${NUMERIC_LETTERS}]+$`, "u");
const ALPHANUMERIC = /^[\p{L}\p{N}]+$/u;
const UNPRINTABLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]|(?! )\p{Zs}/u;

/** `isalpha` and its like. */
export const PREDICATES: ReadonlyMap<string, (text: string) => boolean> = new Map<string, (text: string) => boolean>([
  ["isalpha", (text) => /^\p{L}+$/u.test(text)],
  ["isalnum", (text) => ALPHANUMERIC.test(text)],
  ["isdecimal", (text) => /^\p{Nd}+$/u.test(text)],
  ["isdigit", (text) => DIGITS.test(text)],
  ["isnumeric", (text) => NUMERIC.test(text)],
  ["isspace", (text) => ONLY_SPACE.test(text)],
  ["isascii", (text) => !/[^\0-\x7f]/.test(text)],
  ["isprintable", (text) => !UNPRINTABLE.test(text)],
  ["isidentifier", (text) => /^[\p{XIDS}_]\p{XIDC}*$/u.test(text)],
  ["islower", (text) => /\p{Lowercase}/u.test(text) && !/[\p{Uppercase}\p{Lt}]/u.test(text)],
  ["isupper", (text) => /\p{Uppercase}/u.test(text) && !/[\p{Lowercase}\p{Lt}]/u.test(text)],
  ["istitle", isTitle],
]);

/** Capital letters stand behind what has no case, small ones behind what has. */
function isTitle(text: string): boolean {
  let [cased, found] = [false, false];
  for (const letter of text) {
    const isUpper = /[\p{Uppercase}\p{Lt}]/u.test(letter);
    const isLower = /\p{Lowercase}/u.test(letter);
    if (isUpper === cased && (isUpper || isLower)) return false;
    cased = isUpper || isLower;
    found ||= cased;
  }
  return found;
}

/** `upper` and its like. */
export const CASE_MAPPINGS: ReadonlyMap<string, (text: string) => string> = new Map<string, (text: string) => string>([
  ["upper", (text) => text.toUpperCase()],
  ["lower", lower],
  ["casefold", casefold],
  ["capitalize", capitalize],
  ["title", title],
  ["swapcase", swapcase],
]);

/** Small letters. */
export function lower(text: string): string {
  return text.toLowerCase();
}

/** The first letter a capital, the others small. */
export function capitalize(text: string): string {
  const first = text === "" ? "" : String.fromCodePoint(text.codePointAt(0)!);
  // The whole is lowered at once: a sigma's form depends on what stands before it.
  return titleLetter(first) + lower(text).slice(lower(first).length);
}

/** The first letter of each word a capital. */
function title(text: string): string {
  let result = "";
  let cased = false;
  for (const letter of text) {
    result += cased ? lower(letter) : titleLetter(letter);
    cased = /\p{Cased}/u.test(letter);
  }
  return result;
}

function swapcase(text: string): string {
  return Array.from(text, (letter) => (/\p{Uppercase}/u.test(letter) ? lower(letter) : letter.toUpperCase())).join("");
}

/** For comparing without case. */
function casefold(text: string): string {
  return Array.from(text, (letter) => (/[\u13a0-\u13f5]/.test(letter) ? letter : letter.toUpperCase().toLowerCase())).join("");
}

/** Letters whose title case is neither itself nor its capital. */
const TITLE_LETTERS = new Map([..."ǄǅǆǇǈǉǊǋǌǱǲǳ"].map((letter, i) => [letter, "ǅǈǋǲ"[Math.floor(i / 3)]!]));

function titleLetter(letter: string): string {
  const known = TITLE_LETTERS.get(letter);
  if (known !== undefined) return known;
  if (/[\u10d0-\u10ff]/.test(letter)) return letter;
  const [first = "", ...rest] = letter.toUpperCase();
  return first + rest.join("").toLowerCase();
}
