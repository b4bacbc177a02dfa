import { KvasirError } from "../../errors.ts";
import type { TokenizerClient } from "../tokenizer/tokenizer.ts";
import { copyChat } from "./copy.ts";
import type { Chat, RenderedChat } from "./messages.ts";
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

/** Renders a conversation, whoever asks for it. What is malformed is INVALID_ARGUMENT under the name `name`. */
export function renderText(name: string, chat: unknown, { name: model, template }: ChatRenderer): RenderedChat {
  const input = copyChat(name, chat);
  if (template === undefined) throw new KvasirError("NO_CHAT_TEMPLATE", `model ${model} has no chat template; expected a text prompt`);
  return template.render(input as Chat);
}

/** As {@link renderText}, with the ids. */
export async function renderChat(name: string, chat: unknown, renderer: ChatRenderer): Promise<ChatPrompt> {
  const rendered = renderText(name, chat, renderer);
  return { text: rendered.text, tokens: await renderer.tokenizer.encodeChat(rendered) };
}
