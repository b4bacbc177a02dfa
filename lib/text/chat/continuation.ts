import { TemplateError } from "../jinja/meter.ts";
import { strip } from "../jinja/string-cuts.ts";
import { ofData, type Str } from "../jinja/strings.ts";
import type { ChatMessage } from "./messages.ts";

/** Stands for a last message without text, whose place would not be found otherwise. */
const NOTHING_SAID = "\ufdd0nothing said\ufdd1";

/** What the last message says, and the messages with something in its place if that is nothing. */
export function withMarkedFinal(messages: readonly ChatMessage[]): { marked: ChatMessage[]; final: string } {
  const last = messages.at(-1)!;
  const final = textOf(last.content);
  const marked = final.trim() === "" ? [...messages.slice(0, -1), { ...last, content: NOTHING_SAID }] : [...messages];
  return { marked, final };
}

/** Of parts, the last one's. */
function textOf(content: ChatMessage["content"]): string {
  if (!Array.isArray(content)) return content ?? "";
  return content.findLast(({ text }) => typeof text === "string")?.text ?? "";
}

/** A rendered chat up to the end of what its last message says. White space at that end stays if the template keeps it. */
export function cutAtFinalMessage(chat: Str, final: string): Str {
  if (final.trim() === "") return chat.slice(0, placeOf(chat, NOTHING_SAID));
  const said = strip(ofData(final), undefined, true, true).text;
  const whole = strip(ofData(final), undefined, true, false).text;
  const start = placeOf(chat, said);
  return chat.slice(0, start + (chat.text.startsWith(whole, start) ? whole : said).length);
}

function placeOf(chat: Str, text: string): number {
  const place = chat.text.lastIndexOf(text);
  if (place < 0) throw new TemplateError("it does not print what the last message says, which is to be continued");
  return place;
}
