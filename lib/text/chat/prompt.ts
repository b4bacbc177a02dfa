import { checkKeys } from "../../check.ts";
import { KvasirError } from "../../errors.ts";
import type { EncodeLimits, TokenizerClient } from "../tokenizer/tokenizer.ts";
import type { Chat } from "./messages.ts";
import type { ChatTemplate } from "./template.ts";

/**
 * A conversation as the model is given it.
 *
 * @category Results
 */
export interface ChatPrompt {
  /** What the template made of it. */
  text: string;
  /** Its ids: special tokens are parsed in what the template wrote, and never in what it was given. */
  tokens: Int32Array;
}

/** What renders a conversation. */
export interface ChatRenderer {
  /** The model's name, for messages. */
  name: string;
  tokenizer: Pick<TokenizerClient, "encodeChat">;
  /** `undefined` if the model has none. */
  template: Pick<ChatTemplate, "render"> | undefined;
}

const KEYS: readonly (keyof Chat)[] = ["messages", "tools", "templateVars", "addGenerationPrompt", "continueFinalMessage", "template"];

/** Renders and encodes a conversation, whoever asks for it. What is malformed is INVALID_ARGUMENT under the name `name`. */
export async function renderChat(name: string, chat: unknown, renderer: ChatRenderer, limits?: EncodeLimits): Promise<ChatPrompt> {
  const { name: model, tokenizer, template } = renderer;
  const input = checkKeys<Chat>(name, chat, KEYS);
  if (template === undefined) throw new KvasirError("NO_CHAT_TEMPLATE", `model ${model} has no chat template; expected a text prompt`);
  const rendered = template.render(input as Chat);
  return { text: rendered.text, tokens: await tokenizer.encodeChat(rendered, limits) };
}
