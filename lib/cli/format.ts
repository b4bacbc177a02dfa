import { counted } from "../errors.ts";

const UNITS = ["", "kB", "MB", "GB", "TB"] as const;

/** A size for people: three digits, in powers of 1000. */
export function showBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  // 999.5 would be shown as 1000.
  for (; value >= 999.5 && unit < UNITS.length - 1; unit++) value /= 1000;
  return unit === 0 ? counted(Math.round(value), "byte") : `${value.toFixed(digitsAfterPoint(value))} ${UNITS[unit]}`;
}

/** A number of things for people: `131,072 tokens`. */
export function showCounted(count: number, noun: string): string {
  return counted(count, noun, showCount(count));
}

/** A number for people: `131,072`. */
export function showCount(count: number): string {
  return count.toLocaleString("en-US");
}

function digitsAfterPoint(value: number): number {
  if (value >= 99.95) return 0;
  return value >= 9.995 ? 1 : 2;
}

/** A text from anywhere for a terminal: what would control it becomes a replacement character. */
export function visible(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "\ufffd");
}

/** The same in one line. */
export function oneLine(text: string): string {
  return visible(text.trim().replaceAll(/\s*[\n\r]\s*/g, " "));
}

/** Lines of a name and what is said of it, in two columns. */
export function showRows(given: readonly (readonly [name: string, text: string])[]): string {
  const rows = given.map(([name, text]): [string, string] => [oneLine(name), oneLine(text)]);
  const width = rows.reduce((most, [name]) => Math.max(most, name.length), 0);
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join("");
}
