import { invalid } from "../../check.ts";

/** One part of a message's content. Templates may know further types; those that carry no text, such as images, are refused. */
export interface ChatPart {
  /** Mostly `"text"`. */
  type: string;
  /** The part's text. */
  text?: string;
  [key: string]: unknown;
}

/** One message. Templates read further keys, such as `name`, `tool_calls` and `tool_call_id`. */
export interface ChatMessage {
  /** Who speaks: `"system"`, `"user"`, `"assistant"`, `"tool"`, or what else the template knows. */
  role: string;
  /** Text, or parts; may be absent beside `tool_calls`. */
  content?: string | ChatPart[] | null | undefined;
  [key: string]: unknown;
}

/** What a chat template is given. */
export interface ChatInput {
  messages: ChatMessage[];
  /** Descriptions of tools, as the model's template expects them: mostly `{ type: "function", function: { name, description, parameters } }`. */
  tools?: unknown[];
  /** Further variables of the template, such as `enable_thinking`. */
  templateVars?: Record<string, unknown>;
  /** Whether the prompt ends with the opening of an answer. Default: true. */
  addGenerationPrompt?: boolean;
}

/** A chat as text. Where what was given contains a special token's text, a sentinel stands for one of its characters, so that it isn't parsed. */
export interface RenderedChat {
  text: string;
  masks: [sentinel: string, original: string][];
}

/** Variables that are set from the other fields of the prompt. */
const RESERVED = ["messages", "tools", "add_generation_prompt"];

/** Parts that a model of text cannot read. */
const MEDIA = /^(input_)?(image|audio|video|file)(_url)?$/;

/** Throws INVALID_ARGUMENT naming the path of what is malformed. */
export function checkChat(input: ChatInput): void {
  const { messages, tools, templateVars, addGenerationPrompt } = input as { [K in keyof ChatInput]: unknown };
  if (!Array.isArray(messages) || messages.length === 0) throw invalid("messages", messages, "an array of at least one message");
  for (const [i, message] of messages.entries()) checkMessage(message, `messages[${i}]`);
  if (tools !== undefined && tools !== null && !Array.isArray(tools)) throw invalid("tools", tools, "an array");
  if (addGenerationPrompt !== undefined && typeof addGenerationPrompt !== "boolean")
    throw invalid("addGenerationPrompt", addGenerationPrompt, "true or false");
  if (templateVars === undefined) return;
  if (!isObject(templateVars)) throw invalid("templateVars", templateVars, "an object");
  for (const key of RESERVED)
    if (Object.hasOwn(templateVars, key)) throw invalid(`templateVars.${key}`, templateVars[key], "no such key: the prompt sets it");
}

function checkMessage(message: unknown, path: string): void {
  if (!isObject(message)) throw invalid(path, message, "an object with a role and a content");
  const { role, content } = message;
  if (typeof role !== "string" || role === "") throw invalid(`${path}.role`, role, 'a string such as "user"');
  if (content === undefined || content === null || typeof content === "string") return;
  if (!Array.isArray(content)) throw invalid(`${path}.content`, content, "a string or an array of parts");
  for (const [i, part] of content.entries()) checkPart(part, `${path}.content[${i}]`);
}

function checkPart(part: unknown, path: string): void {
  if (!isObject(part) || typeof part.type !== "string") throw invalid(path, part, '{ type: "text", text: "..." }');
  if (MEDIA.test(part.type)) throw invalid(`${path}.type`, part.type, '"text", all that this model reads');
  if (part.type === "text" && typeof part.text !== "string") throw invalid(`${path}.text`, part.text, "a string");
}

/** Tool calls' arguments as an object where they are JSON text (OpenAI's form): templates are written for objects. */
export function withParsedArguments(messages: ChatMessage[]): ChatMessage[] {
  return messages.map((message) => {
    const calls = message.tool_calls;
    return Array.isArray(calls) ? { ...message, tool_calls: calls.map(parsedCall) } : message;
  });
}

function parsedCall(call: unknown): unknown {
  if (!isObject(call)) return call;
  if (isObject(call.function)) return { ...call, function: parsedCall(call.function) };
  const text = call.arguments;
  if (typeof text !== "string") return call;
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? { ...call, arguments: value } : call;
  } catch {
    return call;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
