import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { ChatInput, RenderedChat } from "../../../../lib/text/chat/messages.ts";
import { TemplateRenderer, type TemplateSource } from "../../../../lib/text/chat/renderer.ts";
import { hasShared, sharedPath } from "../../../support/shared.ts";

interface TemplateCase {
  chat_template: string;
  data: Record<string, unknown>;
  target: string;
}

const cases: [name: string, TemplateCase][] = hasShared
  ? Object.entries(JSON.parse(readFileSync(sharedPath("tokenizers", "chat-templates", "cases.json"), "utf8")).cases)
  : [];

afterEach(() => {
  vi.useRealTimers();
});

/** What looks like a special token in a template or its variables. */
function specialTexts({ chat_template, data }: TemplateCase): string[] {
  return `${chat_template} ${data.bos_token} ${data.eos_token}`.match(/<\/?[^<>{}\s]{1,40}>|\[\/?[A-Z_]+\]/g) ?? [];
}

function render({ chat_template: source, data }: TemplateCase, specials: string[]): RenderedChat {
  vi.useFakeTimers({ now: new Date("2025-07-10T12:00:00Z") });
  const {
    messages,
    tools,
    bos_token: bosText = "",
    eos_token: eosText = "",
    add_generation_prompt: addGenerationPrompt = false,
    ...templateVars
  } = data;
  const renderer = new TemplateRenderer({ source, bosText, eosText, specialTexts: specials } as TemplateSource);
  return renderer.render({ messages, tools, addGenerationPrompt, templateVars } as ChatInput);
}

describe.skipIf(!hasShared)("templates of published models", () => {
  test.each(cases)("%s", (_, example) => {
    expect(render(example, [])).toEqual({ text: example.target, masks: [] });
  });

  test.each(cases)("%s: masks change nothing but the characters they stand for", (_, example) => {
    const { text, masks } = render(example, specialTexts(example));
    expect(masks.reduce((unmasked, [sentinel, original]) => unmasked.replaceAll(sentinel, original), text)).toBe(example.target);
  });
});
