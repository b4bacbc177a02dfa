import { isObject } from "../../check.ts";
import { JsonOf, JsonText } from "../jinja/data.ts";
import type { Chat, ChatMessage, ChatPart } from "./messages.ts";

/** What a template can take of the forms in which servers are given messages. */
export interface Abilities {
  /** Arguments of tool calls: an object, its JSON text, or either. */
  arguments: "object" | "text" | "either";
  /** Whether content may be null; otherwise it is "". */
  nullContent: boolean;
  /** Roles whose content may be parts; other parts of text are joined. */
  parts: ReadonlySet<string>;
  /** Roles whose content may be parts and nothing else. */
  onlyParts: ReadonlySet<string>;
  /** Descriptions of tools: a list, or its JSON text. */
  tools: "list" | "text";
}

/** Tools in the form that a template can take. */
export function fittedTools(tools: Chat["tools"], abilities: Abilities): Chat["tools"] | JsonOf {
  return abilities.tools === "text" && Array.isArray(tools) && tools.length > 0 ? new JsonOf(tools) : tools;
}

/** A message in the form that a template can take. */
export function fitted(message: ChatMessage, abilities: Abilities): ChatMessage {
  const calls = message.tool_calls;
  const content = fittedContent(message, abilities);
  if (!Array.isArray(calls)) return content === message.content ? message : { ...message, content };
  return { ...message, content, tool_calls: calls.map((call) => fittedCall(call, abilities)) };
}

function fittedContent({ role, content }: ChatMessage, { nullContent, parts, onlyParts }: Abilities): ChatMessage["content"] {
  if (content === undefined || content === null) return nullContent ? null : "";
  if (typeof content === "string") return onlyParts.has(role) ? [{ type: "text", text: content }] : content;
  return parts.has(role) || !content.every(isText) ? content : content.map(({ text }) => text).join("");
}

function isText({ type, text }: ChatPart): boolean {
  return type === "text" && typeof text === "string";
}

/** Calls are in `function`, as in OpenAI's form, or stand by themselves. */
function fittedCall(call: unknown, abilities: Abilities): unknown {
  if (!isObject(call)) return call;
  if (isObject(call.function)) return { ...call, function: fittedCall(call.function, abilities) };
  const given = call.arguments;
  if (typeof given === "string") return abilities.arguments === "object" ? { ...call, arguments: new JsonText(given) } : call;
  return isObject(given) && abilities.arguments === "text" ? { ...call, arguments: new JsonOf(given) } : call;
}
