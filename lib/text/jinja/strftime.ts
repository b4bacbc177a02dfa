import { CALL, type Meter, TemplateError } from "./meter.ts";
import { Builder, type Str } from "./strings.ts";

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DIRECTIVE = /%([-_0^#]*)(\d*)[EO]?(.)/gsu;
const MAX_WIDTH = 1 << 20;

/** A directive's text; a number with the width and the letter that fill it up. */
type Part = string | [value: number, width: number, fill?: string];

/** What stands for longer formats. */
const COMPOSED = new Map([
  ["c", "%a %b %e %H:%M:%S %Y"],
  ["D", "%m/%d/%y"],
  ["x", "%m/%d/%y"],
  ["F", "%Y-%m-%d"],
  ["T", "%H:%M:%S"],
  ["X", "%H:%M:%S"],
  ["R", "%H:%M"],
  ["r", "%I:%M:%S %p"],
]);

/** C's `strftime` in its own locale, of a local time without a zone; "-", "_", "0", "^" and "#" as in GNU's. */
export function strftime(meter: Meter, time: Date, format: Str): Str {
  const out = new Builder(meter);
  let position = 0;
  for (const match of format.text.matchAll(DIRECTIVE)) {
    const [whole, flags = "", width = "", code = ""] = match;
    out.add(format.slice(position, match.index));
    position = match.index + whole.length;
    out.write(formatted(meter, time, code, flags, width) ?? whole, true);
  }
  return out.add(format.slice(position)).done();
}

function formatted(meter: Meter, time: Date, code: string, flags: string, width: string): string | undefined {
  const composed = COMPOSED.get(code)?.replace(/%(.)/g, (_, inner: string) => formatted(meter, time, inner, "", "") ?? "");
  const part = composed ?? PARTS.get(code)?.(time);
  if (part === undefined) return undefined;
  const [value, size, letter] = typeof part === "string" ? [part, 0, " "] : [String(part[0]), part[1], part[2] ?? "0"];
  const padding = flags.includes("_") ? " " : flags.includes("0") ? "0" : letter;
  const length = width === "" ? (flags.includes("-") ? 0 : size) : Math.min(Number(width), MAX_WIDTH);
  if (length >= MAX_WIDTH) throw new TemplateError(`a width of ${width} is too large`);
  meter.spend(CALL + length);
  const text = value.padStart(length, padding);
  if (flags.includes("^") || (flags.includes("#") && code !== "p")) return text.toUpperCase();
  return flags.includes("#") ? text.toLowerCase() : text;
}

const PARTS: ReadonlyMap<string, (time: Date) => Part> = new Map<string, (time: Date) => Part>([
  ["a", (time) => DAYS[time.getDay()]!.slice(0, 3)],
  ["A", (time) => DAYS[time.getDay()]!],
  ["b", (time) => MONTHS[time.getMonth()]!.slice(0, 3)],
  ["h", (time) => MONTHS[time.getMonth()]!.slice(0, 3)],
  ["B", (time) => MONTHS[time.getMonth()]!],
  ["d", (time) => [time.getDate(), 2]],
  ["e", (time) => [time.getDate(), 2, " "]],
  ["m", (time) => [time.getMonth() + 1, 2]],
  ["Y", (time) => [time.getFullYear(), 0]],
  ["y", (time) => [time.getFullYear() % 100, 2]],
  ["C", (time) => [Math.floor(time.getFullYear() / 100), 2]],
  ["H", (time) => [time.getHours(), 2]],
  ["k", (time) => [time.getHours(), 2, " "]],
  ["I", (time) => [time.getHours() % 12 || 12, 2]],
  ["l", (time) => [time.getHours() % 12 || 12, 2, " "]],
  ["M", (time) => [time.getMinutes(), 2]],
  ["S", (time) => [time.getSeconds(), 2]],
  ["f", (time) => [time.getMilliseconds() * 1000, 6]],
  ["p", (time) => (time.getHours() < 12 ? "AM" : "PM")],
  ["P", (time) => (time.getHours() < 12 ? "am" : "pm")],
  ["j", (time) => [dayOfYear(time) + 1, 3]],
  ["w", (time) => [time.getDay(), 1]],
  ["u", (time) => [time.getDay() || 7, 1]],
  ["U", (time) => [Math.floor((dayOfYear(time) + 7 - time.getDay()) / 7), 2]],
  ["W", (time) => [Math.floor((dayOfYear(time) + 7 - ((time.getDay() + 6) % 7)) / 7), 2]],
  ["V", (time) => [isoWeek(time)[1], 2]],
  ["G", (time) => [isoWeek(time)[0], 0]],
  ["g", (time) => [isoWeek(time)[0] % 100, 2]],
  ["s", (time) => [Math.floor(time.getTime() / 1000), 0]],
  ["z", () => ""],
  ["Z", () => ""],
  ["n", () => "\n"],
  ["t", () => "\t"],
  ["%", () => "%"],
]);

const DAY_MS = 86_400_000;

/** From 0. */
function dayOfYear(time: Date): number {
  return (Date.UTC(time.getFullYear(), time.getMonth(), time.getDate()) - Date.UTC(time.getFullYear(), 0, 1)) / DAY_MS;
}

/** ISO 8601's year and week: those of the week's Thursday. */
function isoWeek(time: Date): [year: number, week: number] {
  const thursday = new Date(Date.UTC(time.getFullYear(), time.getMonth(), time.getDate() + 4 - (time.getDay() || 7)));
  const year = thursday.getUTCFullYear();
  return [year, Math.floor((thursday.getTime() - Date.UTC(year, 0, 1)) / (7 * DAY_MS)) + 1];
}
