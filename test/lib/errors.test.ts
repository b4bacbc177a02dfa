import { expect, test } from "vitest";
import { counted, show } from "../../lib/errors.ts";
import { filesBelow, read } from "../support/sources.ts";

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

test("one of a thing is said as one", () => {
  expect([0, 1, 2].map((count) => counted(count, "token"))).toEqual(["0 tokens", "1 token", "2 tokens"]);
  expect([1, 2].map((count) => counted(count, "metadata entry"))).toEqual(["1 metadata entry", "2 metadata entries"]);
  expect(counted(4096, "token", "4,096")).toBe("4,096 tokens");
});

/** Numbers of things whose plural is written out: constants above 1 alone. */
const WRITTEN =
  /\$\{(?![A-Z_]+\})(?:[^{}]|\{[^}]*\})+\} (?:prompt )?(?:tokens|bytes|pages|requests|threads|messages|characters|sequences|parts|elements|columns|layers|dimensions|parameters|numbers|models|ids|lines)\b/;

test("whoever says a number of things has them counted", () => {
  const lines = filesBelow("lib", ".ts").flatMap((path) =>
    read(path)
      .split("\n")
      .map((line) => `${path}: ${line.trim()}`),
  );
  expect(lines.filter((line) => !/: (\/?\*|\/\/)|\.toFixed\(/.test(line) && WRITTEN.test(line))).toEqual([]);
});
