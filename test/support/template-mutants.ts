import { expect } from "vitest";
import { KvasirError } from "../../lib/errors.ts";
import type { Chat } from "../../lib/text/chat/messages.ts";
import { ChatTemplate } from "../../lib/text/chat/template.ts";
import { randomIntegers } from "./mutants.ts";

/** Broken chat templates, by seed, and what they do: render, or fail by TEMPLATE_FAILED, within two seconds of processor time. */

const MOST_MS = 2000;

/** What takes the place of a piece. */
const ODD = [
  "",
  "{{",
  "}}",
  "{%",
  "%}",
  "{#",
  "-",
  "(",
  "]",
  "|",
  "messages",
  "loop",
  "none",
  "''",
  "1e9",
  "-1",
  "range(10**9)",
  "*",
  "~",
  "not",
];

/** A template one to three of whose pieces (words, tags, runs of the rest) are gone, doubled, swapped or others. */
function mutateTemplate(source: string, seed: number): string {
  const random = randomIntegers(seed);
  const pieces = source.match(/\{[{%#]|[-]?[}%#]\}|\w+|\s+|[^\w\s]/g) ?? [];
  for (let left = random(3); left >= 0; left--) {
    const [at, other] = [random(pieces.length), random(pieces.length)];
    const [piece, exchanged] = [pieces[at]!, pieces[other]!];
    const kind = random(5);
    if (kind === 0) pieces[at] = "";
    if (kind === 1) pieces[at] = piece.repeat(2);
    if (kind === 2) [pieces[at], pieces[other]] = [exchanged, piece];
    if (kind === 3) pieces[at] = exchanged;
    if (kind === 4) pieces[at] = ODD[random(ODD.length)]!;
  }
  return pieces.join("");
}

/** Renders each chat by each of so many mutants of the templates. Returns how many renderings there were, and how many failed. */
export function expectHarmlessTemplates(templates: readonly string[], chats: readonly Chat[], seeds: readonly number[]): string {
  const counts = { rendered: 0, failed: 0 };
  let slowest = 0;
  for (const seed of seeds) {
    const source = mutateTemplate(templates[seed % templates.length]!, seed);
    const begin = process.cpuUsage();
    const opened = new ChatTemplate(new Map([["default", source]]), { bosText: "<s>", eosText: "</s>" });
    for (const chat of chats) counts[outcomeOf(opened, chat, `seed ${seed}`)]++;
    const { user, system } = process.cpuUsage(begin);
    slowest = Math.max(slowest, (user + system) / 1000);
  }
  expect(slowest).toBeLessThan(MOST_MS);
  // Both happen, or the mutants would show little.
  expect(Math.min(counts.rendered, counts.failed)).toBeGreaterThan((seeds.length * chats.length) / 20);
  return `${counts.rendered} rendered, ${counts.failed} failed; the slowest template took ${slowest.toFixed(0)} ms`;
}

function outcomeOf(template: ChatTemplate, chat: Chat, name: string): "rendered" | "failed" {
  try {
    expect(typeof template.render(chat).text, name).toBe("string");
    return "rendered";
  } catch (error) {
    expect(error, name).toBeInstanceOf(KvasirError);
    expect(error, name).toMatchObject({ code: "TEMPLATE_FAILED" });
    return "failed";
  }
}

/** Chats that mutants render: plain, and with a tool and its call. */
export const CHATS: readonly Chat[] = [
  { messages: [{ role: "user", content: "Hello, <s> {{ 7 }}" }], addGenerationPrompt: true },
  {
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Weather in Rome?" },
      {
        role: "assistant",
        content: "",
        tool_calls: [{ id: "abc123def", type: "function", function: { name: "weather", arguments: { city: "Rome" } } }],
      },
      { role: "tool", tool_call_id: "abc123def", name: "weather", content: "sun" },
    ],
    tools: [
      {
        type: "function",
        function: { name: "weather", description: "Weather of a city.", parameters: { type: "object", properties: {} } },
      },
    ],
    addGenerationPrompt: true,
  },
];
