import { expect } from "vitest";
import { ERROR_CODES } from "../../../lib/errors.ts";

/** What is wrong for every number, array and string of a contract. */
export const WRONG: readonly unknown[] = [
  undefined,
  null,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  -2,
  1.5,
  2 ** 32 + 1,
  2 ** 53,
  1n,
  "1",
  Symbol("s"),
  {},
  () => {},
];

/** Those of them that a factor may be. */
export const FINITE: readonly unknown[] = [-2, 1.5, 2 ** 32 + 1, 2 ** 53];

/** How `call` fails: it has to, with an error that says why. */
export async function codeOf(call: () => unknown): Promise<string> {
  try {
    await call();
  } catch (error) {
    expect(error).toBeInstanceOf(Error);
    expect((error as Error).message.length).toBeGreaterThan(10);
    return String((error as { code?: unknown }).code);
  }
  return "none";
}

/** Spoils each named property of an object by each wrong value in turn, but for those that it may have. */
export async function spoil(
  make: () => object,
  keys: readonly string[],
  call: (spoiled: never) => unknown,
  allowed: readonly unknown[] = [],
): Promise<void> {
  for (const key of keys) {
    for (const wrong of WRONG) {
      if (allowed.includes(wrong)) continue;
      expect(ERROR_CODES, `${key} = ${String(wrong)}`).toContain(await codeOf(() => call({ ...make(), [key]: wrong } as never)));
    }
  }
}

/** What getters may throw: anything. */
export const THROWN: readonly unknown[] = [null, undefined, 0, "text", new RangeError("mine")];

/** What `call` throws when reading `key` of the object throws `value`, by a getter and by a proxy. */
export async function thrownBy(make: () => object, key: string, value: unknown, call: (object: never) => unknown): Promise<unknown[]> {
  const fail = (): never => {
    throw value;
  };
  const getter = Object.defineProperty({ ...make() }, key, { enumerable: true, get: fail });
  const proxy = new Proxy(make(), { get: (target, name) => (name === key ? fail() : Reflect.get(target, name)) });
  const thrown: unknown[] = [];
  for (const object of [getter, proxy]) {
    try {
      await call(object as never);
    } catch (error) {
      thrown.push(error);
    }
  }
  return thrown;
}

/** The array, without its memory. */
export function detached<T extends Int32Array | Float32Array>(array: T): T {
  structuredClone(array.buffer, { transfer: [array.buffer as ArrayBuffer] });
  return array;
}
