import { invalid, isObject } from "../../check.ts";

/**
 * One part of a message's content. Templates may know further types; those that carry no text, such as images, are refused.
 *
 * @category Requests
 */
export interface ChatPart {
  /** Mostly `"text"`. */
  type: string;
  /** The part's text. */
  text?: string;
  [key: string]: unknown;
}

/**
 * One message. Templates read further keys, such as `name`, `tool_calls` and `tool_call_id`. Roles and names are not blank; an empty `name`
 * is none.
 *
 * @category Requests
 */
export interface ChatMessage {
  /** Who speaks: `"system"`, `"user"`, `"assistant"`, `"tool"`, or what else the template knows. */
  role: string;
  /** Text, or parts; may be absent beside `tool_calls`. */
  content?: string | ChatPart[] | null | undefined;
  [key: string]: unknown;
}

/**
 * A conversation, which the model's chat template makes a prompt of. It is read when the call is made: at most 100,000 values, of 4 M characters
 * together, in plain objects and arrays; other objects are what their `toJSON` says.
 *
 * @category Requests
 */
export interface Chat {
  messages: readonly ChatMessage[];
  /** Descriptions of tools, as the template expects them: mostly `{ type: "function", function: { name, description, parameters } }`. */
  tools?: readonly unknown[];
  /** Further variables of the template, such as `enable_thinking`. */
  templateVars?: Readonly<Record<string, unknown>>;
  /** Whether the template opens the assistant's turn. Default: true, or false with `continueFinalMessage`. */
  addGenerationPrompt?: boolean;
  /** Whether the last message, which has to be the assistant's, stays open, so that the model continues it. Default: false. */
  continueFinalMessage?: boolean;
  /** Which of the model's templates. Default: `"tool_use"` where tools are given and the model has one, else `"default"`. */
  template?: string;
}

/** A chat as text. Only what the template wrote, and not what it was given, may hold special tokens. */
export interface RenderedChat {
  text: string;
  /** What the template wrote, in UTF-16 units: ascending, none empty, none touching the next. */
  written: [start: number, end: number][];
}

/** Variables that are set from the other fields of the prompt. */
const RESERVED = ["messages", "tools", "add_generation_prompt"];

/** Parts that a model of text cannot read. */
const MEDIA = /^(input_)?(image|audio|video|file)(_url)?$/;

/** Throws INVALID_ARGUMENT naming the path of what is malformed. */
export function checkChat(chat: Chat): void {
  const { messages, tools, templateVars, addGenerationPrompt, template } = chat as { [K in keyof Chat]: unknown };
  if (!Array.isArray(messages) || messages.length === 0) throw invalid("messages", messages, "an array of at least one message");
  for (const [i, message] of messages.entries()) checkMessage(message, `messages[${i}]`);
  if (tools !== undefined && tools !== null && !Array.isArray(tools)) throw invalid("tools", tools, "an array");
  for (const [i, tool] of (tools ?? []).entries()) checkToolName(tool, `tools[${i}]`);
  if (addGenerationPrompt !== undefined && typeof addGenerationPrompt !== "boolean")
    throw invalid("addGenerationPrompt", addGenerationPrompt, "true or false");
  if (template !== undefined && typeof template !== "string") throw invalid("template", template, "the name of a template");
  checkContinued(chat);
  if (templateVars === undefined) return;
  if (!isObject(templateVars)) throw invalid("templateVars", templateVars, "an object");
  for (const key of RESERVED)
    if (Object.hasOwn(templateVars, key)) throw invalid(`templateVars.${key}`, templateVars[key], "no such key: the prompt sets it");
}

function checkMessage(message: unknown, path: string): void {
  if (!isObject(message)) throw invalid(path, message, "an object with a role and a content");
  const { role, content, name, tool_calls: calls } = message;
  if (typeof role !== "string" || isBlank(role)) throw invalid(`${path}.role`, role, 'a string such as "user"');
  if (name !== "" && isBlank(name)) throw invalid(`${path}.name`, name, "a name, or none");
  if (Array.isArray(calls)) for (const [i, call] of calls.entries()) checkToolName(call, `${path}.tool_calls[${i}]`);
  if (content === undefined || content === null || typeof content === "string") return;
  if (!Array.isArray(content)) throw invalid(`${path}.content`, content, "a string or an array of parts");
  for (const [i, part] of content.entries()) checkPart(part, `${path}.content[${i}]`);
}

/** Of a tool or a call, whose name stands in it or in its function. What else it has is between caller and template. */
function checkToolName(tool: unknown, path: string): void {
  if (!isObject(tool)) return;
  if (isBlank(tool.name)) throw invalid(`${path}.name`, tool.name, "the name of a tool");
  if (isObject(tool.function)) checkToolName(tool.function, `${path}.function`);
}

/** A text without a character that anybody sees: templates would write a name that nobody has. */
function isBlank(value: unknown): boolean {
  return typeof value === "string" && value.trim() === "";
}

function checkPart(part: unknown, path: string): void {
  if (!isObject(part) || typeof part.type !== "string") throw invalid(path, part, '{ type: "text", text: "..." }');
  if (MEDIA.test(part.type)) throw invalid(`${path}.type`, part.type, '"text", all that this model reads');
  if (part.type === "text" && typeof part.text !== "string") throw invalid(`${path}.text`, part.text, "a string");
}

/** What stays open has to be something that the assistant says, and nothing can follow it. */
function checkContinued({ messages, addGenerationPrompt, continueFinalMessage }: Chat): void {
  if (continueFinalMessage !== undefined && typeof continueFinalMessage !== "boolean")
    throw invalid("continueFinalMessage", continueFinalMessage, "true or false");
  if (continueFinalMessage !== true) return;
  if (addGenerationPrompt === true) throw invalid("addGenerationPrompt", true, "false with continueFinalMessage");
  const role = messages.at(-1)!.role;
  if (role !== "assistant") throw invalid(`messages[${messages.length - 1}].role`, role, '"assistant" with continueFinalMessage');
}
