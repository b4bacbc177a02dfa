import { types } from "node:util";
import { isPlain, KvasirError, show } from "./errors.ts";

/**
 * Checks of what callers pass: each returns the value with its type, or throws INVALID_ARGUMENT with its name, the value and what is expected.
 * What has parts comes back as a copy, each part read once: getters and proxies may give another value each time, and callers change their
 * objects when the call has returned. Kinds are told by what a value is, not by `instanceof`: it may be of another realm.
 */

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

/** A function to tell something. If a promise that it returned is rejected, it throws the reason when it is called again. */
export function checkListener<T extends (...args: never[]) => void>(name: string, value: unknown): T {
  const listener = checkFunction<T>(name, value);
  let failure: { reason: unknown } | undefined;
  const tell = (...args: Parameters<T>): void => {
    if (failure !== undefined) throw failure.reason;
    catchRejection(listener(...args), (reason) => {
      failure ??= { reason };
    });
  };
  return tell as T;
}

/** What a callback returned may be a promise, which nobody waits for: that it is rejected must not end the process. */
export function catchRejection(returned: unknown, told: (reason: unknown) => void = () => {}): void {
  if (types.isPromise(returned)) Promise.prototype.then.call(returned, undefined, told);
}

/** An AbortSignal; for one of another realm or library, an own one that aborts with it. */
export function checkSignal(name: string, value: unknown): AbortSignal {
  const isSignal = reading(name, () => isSignalLike(value));
  if (!isSignal) throw invalid(name, value, "an AbortSignal");
  return value instanceof AbortSignal ? value : reading(name, () => adopt(value as AbortSignal));
}

function isSignalLike(value: unknown): boolean {
  if (typeof value !== "object" || value === null || Object.prototype.toString.call(value) !== "[object AbortSignal]") return false;
  const { aborted, addEventListener } = value as Partial<AbortSignal>;
  return typeof aborted === "boolean" && typeof addEventListener === "function";
}

/** Own signals by the foreign ones that they follow: each is listened to once, however many calls it is given to. */
const adopted = new WeakMap<AbortSignal, AbortSignal>();

function adopt(foreign: AbortSignal): AbortSignal {
  let own = adopted.get(foreign);
  if (own === undefined) {
    const controller = new AbortController();
    const abort = (): void => controller.abort(foreign.reason);
    if (foreign.aborted) abort();
    else foreign.addEventListener("abort", abort);
    own = controller.signal;
    adopted.set(foreign, own);
  }
  return own;
}

/** What `read` makes of a caller's value, whose own code (getters, traps of proxies) runs meanwhile: INVALID_ARGUMENT if that throws. */
export function reading<T>(name: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (cause instanceof KvasirError) throw cause;
    const reason = types.isNativeError(cause) ? cause.message : cause;
    throw new KvasirError("INVALID_ARGUMENT", `${name} can't be read: ${show(reason)}`, { cause });
  }
}

/**
 * A plain object with known keys only, so that a misspelt parameter is an error; as a copy. `undefined` counts as an empty object, and a field
 * that is undefined as left out; null is refused for both.
 */
export function checkKeys<T extends object>(name: string, value: unknown, keys: readonly string[]): Partial<T> {
  if (value === undefined) return {};
  return reading(name, () => {
    if (typeof value !== "object" || value === null || !isPlain(value)) throw invalid(name, value, "a plain object");
    const copy: Record<string, unknown> = {};
    for (const key of Object.keys(value)) {
      if (!keys.includes(key)) throw new KvasirError("INVALID_ARGUMENT", `${name} has no ${show(key)}; expected one of ${keys.join(", ")}`);
      const field: unknown = value[key as keyof typeof value];
      if (field === null) throw invalid(key, null, "a value, or the key left out");
      copy[key] = field;
    }
    return copy as Partial<T>;
  });
}

/** The elements of an array of at most `most`, as a copy. */
export function checkArray(name: string, value: unknown, most: number, expected: string): unknown[] {
  return reading(name, () => {
    if (!Array.isArray(value)) throw invalid(name, value, expected);
    const length = checkInteger(`${name}.length`, value.length, 0, most);
    return Array.from({ length }, (_, i): unknown => value[i]);
  });
}

/**
 * Longest text that is tokenized, in UTF-16 units; a conversation has no more in all, nor are more tokens taken at once, unless the context
 * bounds them. Chosen, with what a text may grow to (`growthLimit`): the pieces of a text take less than a thread's heap. Where one call of a
 * regular expression makes more, V8 ends the process instead of the thread, as was seen with 16 M characters.
 */
export const MAX_TEXT: number = 1 << 22;

/** Whether a value is an array or, as ids may be, an Int32Array. */
export function isArray(name: string, value: unknown): value is readonly unknown[] | Int32Array {
  return types.isInt32Array(value) || reading(name, () => Array.isArray(value));
}

/** Token ids, each in [0, vocabSize), as a copy. `checkCount` throws for too many. */
export function checkTokens(
  name: string,
  value: unknown,
  vocabSize: number,
  checkCount: (count: number) => void = (count) => checkInteger(`${name}.length`, count, 0, MAX_TEXT),
): Int32Array {
  return reading(name, () => {
    if (!isArray(name, value)) throw invalid(name, value, "an array of token ids");
    const length = checkInteger(`${name}.length`, value.length, 0, Number.MAX_SAFE_INTEGER);
    checkCount(length);
    const tokens = new Int32Array(length);
    for (let i = 0; i < length; i++) {
      const token: unknown = value[i];
      const isToken = Number.isInteger(token) && (token as number) >= 0 && (token as number) < vocabSize;
      tokens[i] = isToken ? (token as number) : checkInteger(`${name}[${i}]`, token, 0, vocabSize - 1); // names are made for errors alone
    }
    return tokens;
  });
}

/** Whether a value is an object and no array. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
