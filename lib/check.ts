import { KvasirError, show } from "./errors.ts";

/** Checks of what callers pass: each returns the value with its type, or throws INVALID_ARGUMENT with its name, the value and what is expected. */

/** Largest count that the native side takes: its integers have 32 bits. */
export const MAX_COUNT: number = 2 ** 31 - 1;

/** An INVALID_ARGUMENT error: `temperature is NaN; expected a number from 0 to 1000`. */
export function invalid(name: string, value: unknown, expected: string): KvasirError {
  return new KvasirError("INVALID_ARGUMENT", `${name} is ${show(value)}; expected ${expected}`);
}

/** A finite number in [min, max]. */
export function checkNumber(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === "number" && value >= min && value <= max) return value;
  throw invalid(name, value, `a number from ${min} to ${max}`);
}

/** A whole number in [min, max]. */
export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max) return value as number;
  throw invalid(name, value, `a whole number from ${min} to ${max}`);
}

/** `true` or `false`. */
export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw invalid(name, value, "true or false");
}

/** A string. */
export function checkString(name: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw invalid(name, value, "a string");
}

/** One of a few strings. */
export function checkOneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T;
  throw invalid(name, value, `one of ${allowed.join(", ")}`);
}

/** A function. */
export function checkFunction<T extends (...args: never[]) => unknown>(name: string, value: unknown): T {
  if (typeof value === "function") return value as T;
  throw invalid(name, value, "a function");
}

/** An AbortSignal. */
export function checkSignal(name: string, value: unknown): AbortSignal {
  if (value instanceof AbortSignal) return value;
  throw invalid(name, value, "an AbortSignal");
}

/**
 * An object with known keys only, so that a misspelt parameter is an error. `undefined` counts as an empty object, and a field that is
 * undefined as left out; null is refused for both.
 */
export function checkKeys<T extends object>(name: string, value: unknown, keys: readonly string[]): Partial<T> {
  if (value === undefined) return {};
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalid(name, value, "an object");
  for (const key of Object.keys(value)) {
    if (!keys.includes(key)) throw new KvasirError("INVALID_ARGUMENT", `${name} has no ${show(key)}; expected one of ${keys.join(", ")}`);
    if (value[key as keyof typeof value] === null) throw invalid(key, null, "a value, or the key left out");
  }
  return value as Partial<T>;
}

/** Token ids, each in [0, vocabSize), as a copy. */
export function checkTokens(name: string, value: unknown, vocabSize: number): Int32Array {
  if (!Array.isArray(value) && !(value instanceof Int32Array)) throw invalid(name, value, "an array of token ids");
  const tokens = new Int32Array(value.length);
  for (let i = 0; i < tokens.length; i++) tokens[i] = checkInteger(`${name}[${i}]`, value[i], 0, vocabSize - 1);
  return tokens;
}

/** Whether a value is an object and no array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
