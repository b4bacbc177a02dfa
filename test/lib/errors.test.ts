import { expect, test } from "vitest";
import { show } from "../../lib/errors.ts";

const endless: unknown[] = [];
endless.push(endless);

test.each<[unknown, string]>([
  ["text", '"text"'],
  ["a\u001b\u009b\u007f", '"a\\u001b\\u009b\\u007f"'],
  [-5.5, "-5.5"],
  [Number.NaN, "NaN"],
  [undefined, "undefined"],
  [null, "null"],
  [10n, "10"],
  [1n << 300n, "a bigint beyond 256 bits"],
  [Symbol("s"), "Symbol(s)"],
  [{ a: [1, "x", null] }, '{"a":[1,"x",null]}'],
  [[undefined, 5n], '[null,"5"]'],
  [new Map([[1, 2]]), "[Map]"],
  [{ a: new Map([[1, 2]]) }, '{"a":"[Map]"}'],
  [Int32Array.of(1, 2), "[Int32Array]"],
  [new (class Settings {})(), "Settings {}"],
  [() => 1, "[Function (anonymous)]"],
  [new TypeError("no"), "TypeError: no"],
])("%o is shown as %s", (value, text) => {
  expect(show(value)).toBe(text);
});

test("however large or strange a value is, it is short, and none of its own code runs", () => {
  const never = (): never => {
    throw new Error("this ran");
  };
  const strange = [
    "x".repeat(1e6),
    new Array(1e6).fill("x".repeat(1e6)),
    Object.fromEntries(Array.from({ length: 1000 }, (_, i) => ["x".repeat(1000) + i, 1])),
    endless,
    Object.defineProperty({}, "a", { get: never, enumerable: true }),
    { toJSON: never },
    { a: { toJSON: never } },
    new Proxy({}, { get: never, ownKeys: never, getPrototypeOf: never }),
    new Proxy([], { get: never, getPrototypeOf: never }),
  ];
  for (const value of strange) expect(show(value).length).toBeLessThanOrEqual(80);
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  expect(show(proxy)).toBe("<Revoked Proxy>");
});
