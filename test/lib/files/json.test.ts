import { describe, expect, test } from "vitest";
import { KvasirWarning } from "../../../lib/errors.ts";
import { parseJson, parseJsonObject } from "../../../lib/files/json.ts";
import { expectError } from "../../support/expect.ts";

test("agrees with JSON.parse where numbers are exact", () => {
  for (const text of [
    "null",
    " [ ] ",
    '{"a":[1,-2.5e-3,true,false,null,"\\u00e9\\n\\"\\\\"],"":{"b":{}}}',
    '{"__proto__":1,"constructor":[0,-0,9007199254740991]}',
    "[[[[1]]]]",
    '"\u2028 \ud83d\ude00"',
  ])
    expect(JSON.stringify(parseJson(text, "t"))).toBe(JSON.stringify(JSON.parse(text)));
});

test("keeps integers beyond 2^53 exact", () => {
  expect(parseJson("[9007199254740993,-9007199254740993,1e30]", "t")).toEqual([9007199254740993n, -9007199254740993n, 1e30]);
  expect(parseJson("1000000000000000019884624838656", "t")).toBe(1000000000000000019884624838656n);
});

test("objects have no prototype", () => {
  const object = parseJsonObject('{"__proto__":{"polluted":1}}', "t");
  expect(Object.getPrototypeOf(object)).toBe(null);
  expect(Object.keys(object)).toEqual(["__proto__"]);
});

test("whole numbers have digits alone", async () => {
  const rules = { wholeNumbers: true };
  expect(parseJson("[0,32,-1,9007199254740993]", "t", rules)).toEqual([0, 32, -1, 9007199254740993n]);
  for (const text of ["32.0", "-0", "1e3", "0.0", "-0.0", "32E0"])
    await expectError(() => parseJson(`[${text}]`, "file.json", rules), "FILE_INVALID", "file.json", `"${text}"`, "digits alone");
});

test.each([
  ["objects", "{},", 200],
  ["arrays", "[],", 150],
  ["strings", '"",', 34],
  ["numbers", "0,", 24],
])("%s have a budget of memory", async (_, element, bytes) => {
  const memory = 150 + 1000 * bytes + 24;
  expect(parseJson(`[${element.repeat(1000)}0]`, "t", { memory })).toHaveLength(1001);
  const over = () => parseJson(`[${element.repeat(1001)}0]`, "file.json", { memory });
  await expectError(over, "FILE_INVALID", "file.json", `${memory} bytes of memory`, "expected fewer");
});

test("keys and characters are within the budget, also those of keys that stand twice", async () => {
  const twice = `{${'"key":0,'.repeat(1000)}"key":1}`;
  expect(parseJson(twice, "t", { warn: () => {}, memory: 130_000 })).toEqual({ key: 1 });
  await expectError(() => parseJson(twice, "t", { warn: () => {}, memory: 100_000 }), "FILE_INVALID", "memory");
  await expectError(() => parseJson(`"${"x".repeat(1000)}"`, "t", { memory: 1000 }), "FILE_INVALID", "memory");
});

test.each([
  ["", "end of the text"],
  ["{", "key"],
  ['{"a":1,}', "key"],
  ['{"a" 1}', '":"'],
  ['{"a":1 "b":2}', '"," or "}"'],
  ["[1,]", "value"],
  ["[1 2]", '"," or "]"'],
  ["01", "the end"],
  ["+1", "value"],
  ["1.", "the end"],
  [".5", "value"],
  ["NaN", "value"],
  ["-Infinity", "value"],
  ["1e999", "too large"],
  ["'a'", "value"],
  ['"a', "string that ends"],
  ['"\\', "string that ends"],
  ['"\\x"', "valid string"],
  ['"\n"', "valid string"],
  ["\ufeff{}", "value"],
  ["{} {}", "the end"],
  ['{"a":1,"a":1}', '"a" stands twice'],
  ["[".repeat(200), "at most 100 levels"],
])("refuses %j", async (text, named) => {
  await expectError(() => parseJson(text, "file.json"), "FILE_INVALID", named, "file.json");
});

describe("what Python's json reads besides, told once of each kind", () => {
  const read = (text: string): { value: unknown; messages: string[] } => {
    const warnings: KvasirWarning[] = [];
    const value = parseJson(text, "file.json", { warn: (warning) => warnings.push(warning) });
    expect(warnings.every((warning) => warning instanceof KvasirWarning && warning.code === "KVASIR_FILE_IRREGULAR")).toBe(true);
    return { value, messages: warnings.map(({ message }) => message) };
  };

  test.each<[string, unknown, string]>([
    ['\ufeff{"a":1}', { a: 1 }, "byte-order mark"],
    ['{"a":[NaN,-Infinity,Infinity]}', { a: [Number.NaN, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] }, "NaN or Infinity"],
    ["[1e999,-1.5e400]", [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY], '"1e999"'],
    ['{"a":1,"b":2,"a":{"c":3,"c":4}}', { a: { c: 4 }, b: 2 }, "stand twice"],
    ['{"__proto__":1,"__proto__":2}', JSON.parse('{"__proto__":2}'), "stand twice"],
  ])("%j", (text, value, named) => {
    const found = read(text);
    expect({ ...(found.value as object) }).toEqual({ ...(value as object) });
    expect(found.messages).toEqual([expect.stringMatching(`^file.json .*${named}`)]);
  });

  test("nothing is told of what is regular, and nothing else is read", async () => {
    expect(read('{"a":[1,null],"b":"NaN"}').messages).toEqual([]);
    for (const text of ["nan", "+Infinity", "-NaN", "Infinity1", "{a:1}", "[1,]", " \ufeff1", `${"9".repeat(400)}`])
      await expectError(() => read(text), "FILE_INVALID", "file.json");
  });

  test("what the receiver of warnings throws comes through", () => {
    const stop = (): never => {
      throw new Error("stop");
    };
    expect(() => parseJson("NaN", "t", { warn: stop })).toThrow("stop");
  });
});
