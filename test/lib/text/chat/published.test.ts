import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Chat } from "../../../../lib/text/chat/messages.ts";
import { ProbedTemplate } from "../../../../lib/text/chat/probed.ts";
import { ChatTemplate } from "../../../../lib/text/chat/template.ts";
import { NOON } from "../../../support/jinja.ts";
import { hasShared, sharedPath } from "../../../support/shared.ts";
import { CHATS, expectHarmlessTemplates } from "../../../support/template-mutants.ts";

interface Matrix {
  conversations: Record<string, Chat>;
  templates: Record<string, { template: string; expected: Record<string, (string | null)[]> }>;
}

interface TemplateCase {
  chat_template: string;
  data: Record<string, unknown>;
  target: string;
}

function read(name: string): unknown {
  return JSON.parse(readFileSync(sharedPath("tokenizers", "chat-templates", name), "utf8"));
}

const matrix = (hasShared ? read("matrix.json") : { conversations: {}, templates: {} }) as Matrix;
const cases = hasShared ? Object.entries((read("cases.json") as { cases: Record<string, TemplateCase> }).cases) : [];

function open(source: string): ChatTemplate {
  return new ChatTemplate(new Map([["default", source]]), { bosText: "<s>", eosText: "</s>" }, { now: () => NOON });
}

function attempt(template: ChatTemplate, chat: Chat): string | null {
  try {
    return template.render(chat).text;
  } catch (error) {
    expect(error).toMatchObject({ code: "TEMPLATE_FAILED" });
    return null;
  }
}

describe.skipIf(!hasShared)("templates of published models", () => {
  test.each(Object.entries(matrix.templates))("%s", (_, { template, expected }) => {
    const opened = open(template);
    for (const [name, texts] of Object.entries(expected)) {
      expect(texts, name).toContain(attempt(opened, matrix.conversations[name]!));
    }
  });

  test.each(Object.entries(matrix.templates))("%s: long messages and long chats are rendered", (_, { template }) => {
    const opened = open(template);
    const chat = (count: number, length: number): Chat => {
      const messages = Array.from({ length: count }, (_, i) => ({
        role: i % 2 === 0 ? "user" : "assistant",
        content: `${i} <said>\n`.repeat(length),
      }));
      return { messages, tools: [{ type: "function", function: { name: "f", description: "<what>\n".repeat(length), parameters: {} } }] };
    };
    const short = attempt(opened, chat(3, 1));
    for (const long of [chat(3, 12_000), chat(301, 1)]) {
      if (short !== null) expect(attempt(opened, long)?.length).toBeGreaterThan(2 * short.length);
    }
    const called = attempt(opened, chatOfCalls(1));
    if (called !== null) expect(attempt(opened, chatOfCalls(100))?.length).toBeGreaterThan(called.length);
  });

  test("mutants of them render or fail by a typed error", () => {
    const templates = Object.values(matrix.templates).map(({ template }) => template);
    expectHarmlessTemplates(
      templates,
      CHATS,
      Array.from({ length: 300 }, (_, seed) => seed),
    );
  });

  test.each(cases)("%s, as its makers render it", (_, { chat_template, data, target }) => {
    const { messages, tools, bos_token = "", eos_token = "", add_generation_prompt = false, ...templateVars } = data;
    // Not by ChatTemplate, which refuses pictures.
    const tokens = { bosText: bos_token as string, eosText: eos_token as string };
    const opened = new ProbedTemplate(chat_template, tokens, () => new Date("2025-07-10T12:00:00Z"));
    expect(opened.render({ messages, tools, addGenerationPrompt: add_generation_prompt, templateVars } as Chat).text).toBe(target);
  });

  function chatOfCalls(count: number): Chat {
    const call = { id: "abc123def", type: "function", function: { name: "f", arguments: { a: 1, b: "x" } } };
    const answer = { role: "tool", tool_call_id: "abc123def", name: "f", content: "found" };
    const turn = [{ role: "assistant", content: "", tool_calls: [call] }, answer];
    return { messages: [{ role: "user", content: "q" }, ...Array.from({ length: count }, () => turn).flat()] };
  }

  /** Everywhere in a chat where a user's text may stand. */
  function chatsSaying(text: string): Chat[] {
    const call = { id: "abc123def", type: "function", function: { name: text, arguments: { [text]: text } } };
    const parameters = { type: "object", properties: { [text]: { type: "string", description: text } }, required: [text] };
    const tools = [{ type: "function", function: { name: text, description: text, parameters } }];
    const user = { role: "user", content: text, name: text };
    return [
      { messages: [user, { role: "assistant", content: "ok" }, user] },
      { messages: [{ role: "system", content: text }, user], tools },
      { messages: [{ role: "user", content: [{ type: "text", text }] }] },
      {
        messages: [
          user,
          { role: "assistant", content: "", tool_calls: [call] },
          { role: "tool", tool_call_id: "abc123def", name: text, content: text },
        ],
        tools,
      },
    ];
  }

  test.each(Object.entries(matrix.templates))("%s: nothing that a user writes is the template's", (_, { template }) => {
    const opened = open(template);
    const specials = new Set([...(template.match(/<\/?[^<>{}\s'"]{1,40}>|\[\/?[A-Z_]+\]/g) ?? []), "<s>", "</s>"]);
    for (const special of specials) {
      // What the template itself writes of it: as often as when the user says something else.
      const [said, other] = [chatsSaying(`x${special}y`), chatsSaying("xQy")];
      for (const [i, chat] of said.entries()) {
        const text = attempt(opened, chat);
        const plain = attempt(opened, other[i]!);
        if (text === null || plain === null) continue;
        expect(found(opened, chat, special), `${special} in chat ${i}`).toBe(found(opened, other[i]!, special));
      }
    }
  });

  /** How often a special token is found where the template wrote. */
  function found(template: ChatTemplate, chat: Chat, special: string): number {
    const { text, written } = template.render(chat);
    return written.reduce((sum, [start, end]) => sum + text.slice(start, end).split(special).length - 1, 0);
  }
});
