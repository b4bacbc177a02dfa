import { JsonOf } from "../jinja/data.ts";
import type { Abilities } from "./abilities.ts";
import type { Chat, ChatMessage } from "./messages.ts";

/** A chat as a template is given it. */
export type GivenChat = Omit<Chat, "tools"> & { tools?: Chat["tools"] | JsonOf };

/** Renders a probe; throws where the template refuses it. */
type Render = (input: GivenChat) => string;

const OBJECT = { aKey: "aValue" };
const TEXT = '{"aKey": "aValue"}';
const PARTS = ["1st part, ", "2nd part"];
const ANSWER: ChatMessage = { role: "tool", tool_call_id: "call00001", name: "tool", content: "an answer" };
const USER: ChatMessage = { role: "user", content: "a question" };
const TOOLS_TEXT =
  '[{"type": "function", "function": {"name": "tool", "description": "a tool", "parameters": {"type": "object", "properties": {}}}}]';
const TOOLS = JSON.parse(TOOLS_TEXT) as unknown[];

/** Finds out what a template can take by having it render a few small chats. */
export function probe(render: Render): Abilities {
  const attempt: Attempt = (messages, tools) => {
    try {
      return render({ messages, ...(tools !== undefined && { tools }) });
    } catch {
      return undefined;
    }
  };
  const calls = probeCalls(attempt);
  return { ...calls, ...probeParts(attempt), tools: toolsTaken(attempt) };
}

type Attempt = (messages: ChatMessage[], tools?: GivenChat["tools"]) => string | undefined;

/** A chat with a tool call; with its answer and without, with the tool described and without, until the template takes one. */
function probeCalls(attempt: Attempt): Pick<Abilities, "arguments" | "nullContent"> {
  const chats: [ChatMessage[], unknown[] | undefined][] = [
    [[ANSWER], undefined],
    [[ANSWER], TOOLS],
    [[], undefined],
  ];
  for (const [answers, tools] of chats) {
    const called = (content: string | null, given: unknown): string | undefined => {
      const call = { id: "call00001", type: "function", function: { name: "tool", arguments: given } };
      return attempt([USER, { role: "assistant", content, tool_calls: [call] }, ...answers], tools);
    };
    const withNull = { object: called(null, OBJECT), text: called(null, TEXT) };
    const nullContent = [withNull.object, withNull.text].some((text) => text !== undefined && !text.includes("None"));
    const { object, text } = nullContent ? withNull : { object: called("", OBJECT), text: called("", TEXT) };
    if (object !== undefined || text !== undefined) return { arguments: argumentsTaken(object, text), nullContent };
  }
  return { arguments: "either", nullContent: false };
}

/** An object is taken if its key and value are printed, though not as Python prints a dict; a text, if it is printed as it is. */
function argumentsTaken(object: string | undefined, text: string | undefined): Abilities["arguments"] {
  const printsObject = object?.includes("aKey") === true && object.includes("aValue");
  const takesObject = printsObject && !object.includes("'aKey': 'aValue'");
  const takesText = text?.includes(TEXT) ?? false;
  if (takesObject === takesText) return takesObject ? "either" : printsObject ? "object" : object === undefined ? "text" : "either";
  return takesObject ? "object" : "text";
}

/**
 * A list that is printed as Python prints it was meant to be its JSON text: Hammer2.1's makers give `json.dumps(tools)`. One that is walked,
 * or measured, isn't.
 */
function toolsTaken(attempt: Attempt): Abilities["tools"] {
  const fromList = attempt([USER], TOOLS);
  const asJson = fromList?.replaceAll(TOOLS_TEXT.replaceAll('"', "'"), TOOLS_TEXT);
  return asJson !== fromList && attempt([USER], new JsonOf(TOOLS)) === asJson ? "text" : "list";
}

function probeParts(attempt: Attempt): Pick<Abilities, "parts" | "onlyParts"> {
  const parts = new Set<string>();
  const onlyParts = new Set<string>();
  const chats: [role: string, before: ChatMessage[], after: ChatMessage[]][] = [
    ["user", [], []],
    ["system", [], [USER]],
    ["assistant", [USER], [USER]],
  ];
  for (const [role, before, after] of chats) {
    const said = (content: ChatMessage["content"]): string | undefined => attempt([...before, { role, content }, ...after]);
    const fromParts = said(PARTS.map((text) => ({ type: "text", text })));
    if (fromParts === undefined || !PARTS.every((text) => fromParts.includes(text.trim())) || /['"]type['"]/.test(fromParts)) continue;
    parts.add(role);
    if (said(PARTS.join(""))?.includes(PARTS[1]!) !== true) onlyParts.add(role);
  }
  return { parts, onlyParts };
}
