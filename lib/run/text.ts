import { checkBoolean, checkKeys, checkString } from "../check.ts";
import type { TextSource } from "../model/spec.ts";
import { ChatTemplate } from "../text/chat/template.ts";
import { type EncodeOptions, TokenizerClient, type TokenizerOpening } from "../text/tokenizer/tokenizer.ts";

/** What an engine uses of the tokenizer. */
export type TextTokenizer = Pick<TokenizerClient, "vocabulary" | "encode" | "encodeChat" | "detokenize" | "close">;

/** Ids of a text, whoever asks for them; the options are checked. */
export function encodeText(tokenizer: TextTokenizer, text: string, options: EncodeOptions | undefined): Promise<Int32Array> {
  const { addSpecial = true, parseSpecial = true } = checkKeys<EncodeOptions>("options", options, ["addSpecial", "parseSpecial"]);
  return tokenizer.encode(checkString("text", text), {
    addSpecial: checkBoolean("addSpecial", addSpecial),
    parseSpecial: checkBoolean("parseSpecial", parseSpecial),
  });
}

/** A model's text side, opened: what turns text and conversations into ids. */
export interface TextParts {
  tokenizer: TextTokenizer | undefined;
  /** Of models that have a tokenizer. */
  chat: Pick<ChatTemplate, "render"> | undefined;
}

/** Opens tokenizer and chat templates, for an engine or without one. */
export async function openTextParts({ tokenizer: source, chatTemplates }: TextSource, opening: TokenizerOpening): Promise<TextParts> {
  if (source === undefined) return { tokenizer: undefined, chat: undefined };
  const tokenizer = await TokenizerClient.open(source, opening);
  const { bosText, eosText } = tokenizer.vocabulary;
  return { tokenizer, chat: chatTemplates.size === 0 ? undefined : new ChatTemplate(chatTemplates, { bosText, eosText }) };
}
