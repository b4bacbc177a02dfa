import { describe, expect, test } from "vitest";
import { hubNameIn, hubNameOf, isHubName, isInside, showName } from "../../../lib/hub/names.ts";
import { expectError } from "../../support/expect.ts";

describe("a name", () => {
  test.each([
    ["Qwen/Qwen3-0.6B", { id: "Qwen/Qwen3-0.6B", revision: "main", choice: undefined }],
    ["a/b@v1.0", { id: "a/b", revision: "v1.0", choice: undefined }],
    ["a/b@refs/pr/1:q4_k_m", { id: "a/b", revision: "refs/pr/1", choice: "q4_k_m" }],
    ["a/b:sub/file-Q8_0.gguf", { id: "a/b", revision: "main", choice: "sub/file-Q8_0.gguf" }],
  ])("%s", (text, name) => {
    expect(hubNameIn(text)).toEqual(name);
    expect(showName(hubNameOf(text))).toBe(text);
    expect([hubNameOf(`hf:${text}`), isHubName(`hf:${text}`), isHubName(text)]).toEqual([name, true, false]);
  });

  test.each([
    "tales",
    "model.gguf",
    "models/tales.gguf",
    "/a/b",
    "./a/b",
    "a/b/c",
    "../b",
    "a/..",
    "a/.b",
    "a/b.",
    "a\\b/c",
    "a/b\\c",
    "a/b\u0000",
    "a/b\n",
    "a--b/c",
    "a/b.git",
    "",
    "/",
    "a/",
    "ü/b",
    `a/${"b".repeat(97)}`,
  ])("%j is none: a path, perhaps", async (text) => {
    expect(hubNameIn(text)).toBeUndefined();
    if (text !== "models/tales.gguf") await expectError(() => hubNameOf(text), "INVALID_ARGUMENT", "expected ORG/NAME");
  });

  test.each([
    "a/b@",
    "a/b@..",
    "a/b@../../x",
    "a/b@x/../y",
    "a/b@/etc",
    "a/b@.x",
    "a/b@x//y",
    "a/b@x\\y",
    "a/b@x\ny",
    `a/b@${"x".repeat(201)}`,
  ])("%j has no revision", (text) => expectError(() => hubNameIn(text), "INVALID_ARGUMENT", "the revision of a/b is"));

  test("without a choice after its colon is refused", () => expectError(() => hubNameIn("a/b:"), "INVALID_ARGUMENT", "a/b:"));
});

describe("a file's path", () => {
  test.each(["config.json", "a/b.gguf", "a b/ü.json", ".gitattributes", "...x"])("%j stays inside", (path) => {
    expect(isInside(path)).toBe(true);
  });

  test.each([
    "",
    "/etc/passwd",
    "..",
    "../x",
    "a/../x",
    "a/./b",
    "a//b",
    "a/",
    "a\\..\\b",
    "a\u0000",
    "a\n",
    "x".repeat(256),
    "a/".repeat(600),
  ])("%j doesn't", (path) => expect(isInside(path)).toBe(false));
});
