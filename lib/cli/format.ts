const UNITS = ["bytes", "kB", "MB", "GB", "TB"] as const;

/** A size for people: three digits, in powers of 1000. */
export function showBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  // 999.5 would be shown as 1000.
  for (; value >= 999.5 && unit < UNITS.length - 1; unit++) value /= 1000;
  return `${unit === 0 ? Math.round(value) : value.toFixed(digitsAfterPoint(value))} ${UNITS[unit]}`;
}

/** A number for people: `131,072`. */
export function showCount(count: number): string {
  return count.toLocaleString("en-US");
}

function digitsAfterPoint(value: number): number {
  if (value >= 99.95) return 0;
  return value >= 9.995 ? 1 : 2;
}

/** Lines of a name and what is said of it, in two columns. */
export function showRows(rows: readonly (readonly [name: string, text: string])[]): string {
  const width = rows.reduce((most, [name]) => Math.max(most, name.length), 0);
  return rows.map(([name, text]) => `${name.padEnd(width)}  ${text}\n`).join("");
}
