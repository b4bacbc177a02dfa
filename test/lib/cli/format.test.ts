import { expect, it } from "vitest";
import { oneLine, showRows } from "../../../lib/cli/format.ts";

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

it("nothing that a file says controls the terminal or makes a line", () => {
  expect(oneLine(" a \n\r\n b\rc\u001b[31md\u009b31me\u007f\u2028 ")).toBe("a b c\ufffd[31md\ufffd31me\ufffd");
  expect(showRows([["x\nproblems", "\u0007"]])).toBe("x problems  \ufffd\n");
});
