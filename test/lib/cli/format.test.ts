import { expect, it } from "vitest";
import { showRows } from "../../../lib/cli/format.ts";

it("rows stand in two columns, more of them than a call takes arguments", () => {
  expect(showRows([])).toBe("");
  expect(
    showRows([
      ["a", "1"],
      ["long", "2"],
    ]),
  ).toBe("a     1\nlong  2\n");
  expect(showRows(Array(300_000).fill(["name", "text"])).length).toBe(300_000 * "name  text\n".length);
});
