import { describe, expect, it } from "vitest";
import { MessageReader } from "../../../../lib/cli/chat/message-reader.ts";

/** What lines become, the unfinished end included. */
function read(...lines: string[]): string[] {
  const reader = new MessageReader();
  const typed = [...lines.map((line) => reader.push(line)), reader.end()];
  return typed.flatMap((message) => (message === undefined ? [] : [`${message.isCommand ? "command " : ""}${message.text}`]));
}

describe("a message", () => {
  it.each([
    [
      ["a", "b"],
      ["a", "b"],
    ],
    [
      ["a \\", "b\\", "c", "d"],
      ["a \nb\nc", "d"],
    ],
    [["a\\"], ["a"]],
    [
      ['"""', "a", "", "/b \\", '"""', "c"],
      ["a\n\n/b \\", "c"],
    ],
    [
      ['"""a', 'b"""', '"""c"""'],
      ["a\nb", "c"],
    ],
    [['"""', "a"], ["a"]],
    [['"""', '"""'], [""]],
    [['a """ b'], ['a """ b']],
    [
      ["/reset", "a\\", "/b"],
      ["command /reset", "a\n/b"],
    ],
    [["/system a\\", "b"], ["/system a\nb"]],
    [['"""/reset"""'], ["/reset"]],
  ])("of %j: %j", (lines, messages) => expect(read(...lines)).toEqual(messages));

  it("can be forgotten before it ends", () => {
    const reader = new MessageReader();
    for (const line of ['"""', "a\\"]) {
      expect([reader.push(line), reader.isOpen]).toEqual([undefined, true]);
      reader.clear();
      expect([reader.isOpen, reader.end()]).toEqual([false, undefined]);
    }
    expect(reader.push("b")).toEqual({ text: "b", isCommand: false });
  });
});
