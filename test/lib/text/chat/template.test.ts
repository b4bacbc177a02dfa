import { describe, expect, test } from "vitest";
import type { Chat } from "../../../../lib/text/chat/messages.ts";
import { ChatTemplate } from "../../../../lib/text/chat/template.ts";
import { NOON } from "../../../support/jinja.ts";

function template(source: string | Record<string, string>): ChatTemplate {
  const sources = new Map(Object.entries(typeof source === "string" ? { default: source } : source));
  return new ChatTemplate(sources, { bosText: "<s>", eosText: "</s>" }, { now: () => NOON });
}

function textOf(source: string | Record<string, string>, input: unknown): string {
  return template(source).render(input as Chat).text;
}

/** What the template wrote of a rendered chat. */
function writtenOf(source: string, input: unknown): string[] {
  const { text, written } = template(source).render(input as Chat);
  return written.map(([start, end]) => text.slice(start, end));
}

const USER = { messages: [{ role: "user", content: "hi" }] };

describe("a chat template", () => {
  test("has variables", () => {
    const source =
      "{{ bos_token }}{{ messages[0].content }}{{ eos_token }} {{ tools is none }} {{ documents is none }} {{ add_generation_prompt }} {{ enable_thinking }}";
    expect(textOf(source, USER)).toBe("<s>hi</s> True True True ");
    const input = { ...USER, tools: [{ name: "f" }], addGenerationPrompt: false, templateVars: { enable_thinking: false } };
    expect(textOf(source, input)).toBe("<s>hi</s> False True False False");
    expect(textOf("{{ strftime_now('%d %b %Y') }}", USER)).toBe("25 Nov 2026");
    // As in JSON.
    expect(textOf("{{ date }}", { ...USER, templateVars: { date: NOON } })).toBe("2026-11-25T12:00:00.000Z");
  });

  test("says why it refuses, and where", () => {
    const source = "a\nb\n{{ raise_exception('roles must alternate') }}";
    expect(() => textOf(source, USER)).toThrow(
      expect.objectContaining({ code: "TEMPLATE_FAILED", message: "the chat template failed at line 3: roles must alternate" }),
    );
    for (const malformed of ["\n{% if %}", "\n{{ 'a }}", "\n{% endfor %}", "\n{{ a b }}"]) {
      expect(() => textOf(malformed, USER)).toThrow(
        expect.objectContaining({ code: "TEMPLATE_FAILED", message: expect.stringContaining("line 2") }),
      );
    }
  });

  test("one that loops is ended, and others are rendered", () => {
    const loops = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
    const made = template(`{% if messages[0].content == "hang" %}${loops}{% endif %}done`);
    const hang = { messages: [{ role: "user", content: "hang" }] };
    expect(() => made.render(hang)).toThrow(
      expect.objectContaining({ code: "TEMPLATE_FAILED", message: expect.stringContaining("too many steps") }),
    );
    expect(made.render(USER).text).toBe("done");
  });

  test.each([
    ["walks it", "{% for c in messages[0].content %}", 3_000],
    ["looks through it for parts", "{% for c in messages[0].content %}{% if c.type == 'image' %}{% endif %}{% endfor %}{% if true %}", 200],
    ["copies it", "{% set n.s = messages[0].content|replace('e', 'ee') %}{% if true %}", 200],
    ["counts its words", "{% set n.s = messages[0].content|wordcount %}{% if true %}", 200],
  ])("a long message is no long time for a template that loops: it %s", (_, source, most) => {
    let rounds = 0;
    const now = (): Date => {
      rounds++;
      return NOON;
    };
    const body = `{% set n = namespace() %}{% for i in range(100000) %}${source}{{ strftime_now('') }}{% end${source.endsWith("true %}") ? "if" : "for"} %}{% endfor %}`;
    const sources = new Map([["default", body]]);
    const made = new ChatTemplate(sources, { bosText: "", eosText: "" }, { now });
    const content = "the text ".repeat(11_111);
    expect(() => made.render({ messages: [{ role: "user", content }] })).toThrow(expect.objectContaining({ code: "TEMPLATE_FAILED" }));
    expect(rounds).toBeLessThan(most);
  });

  test.each<[unknown, string]>([
    [{ messages: "hi" }, "messages"],
    [{ messages: [] }, "messages"],
    [{ messages: [null] }, "messages[0]"],
    [{ messages: [USER.messages[0], { content: "x" }] }, "messages[1].role"],
    [{ messages: [{ role: " \n", content: "x" }] }, 'messages[0].role is " \\n"; expected a string such as "user"'],
    [{ messages: [{ role: "user", name: "  ", content: "x" }] }, 'messages[0].name is "  "; expected a name, or none'],
    [
      { messages: [USER.messages[0], { role: "assistant", tool_calls: [{ function: { name: "" } }] }] },
      'messages[1].tool_calls[0].function.name is ""; expected the name of a tool',
    ],
    [
      { messages: [USER.messages[0], { role: "assistant", tool_calls: [{ name: "f" }, { name: " " }] }] },
      'messages[1].tool_calls[1].name is " "; expected',
    ],
    [{ ...USER, tools: [{ type: "function", function: { name: "  " } }] }, 'tools[0].function.name is "  "; expected the name of a tool'],
    [{ ...USER, tools: [{ name: "f" }, { name: "" }] }, 'tools[1].name is ""; expected the name of a tool'],
    [{ messages: [{ role: "user", content: 5 }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: ["x"] }] }, "messages[0].content[0]"],
    [{ messages: [{ role: "user", content: [{ type: "text" }] }] }, "messages[0].content[0].text"],
    [{ messages: [{ role: "user", content: [{ type: "image_url" }] }] }, "messages[0].content[0].type"],
    [{ ...USER, tools: {} }, "tools"],
    [{ ...USER, addGenerationPrompt: 1 }, "addGenerationPrompt"],
    [{ ...USER, templateVars: [] }, "templateVars"],
    [{ ...USER, templateVars: { messages: [] } }, "templateVars.messages"],
    [{ ...USER, templateVars: { f: [() => 0] } }, "templateVars.f[0] is "],
    [{ ...USER, templateVars: { m: new Map([["a", 1]]) } }, "templateVars.m is "],
    [{ ...USER, tools: [{ a: new Set(["a"]) }] }, "tools[0].a is "],
    [{ ...USER, tools: [Uint8Array.of(1)] }, "tools[0] is "],
    [{ ...USER, tools: [Promise.resolve()] }, "tools[0] is "],
    [{ ...USER, template: 1 }, "template"],
    [{ ...USER, template: "rag" }, 'template is "rag"; expected one of default'],
    [{ ...USER, continueFinalMessage: 1 }, "continueFinalMessage"],
    [{ ...USER, continueFinalMessage: true }, 'messages[0].role is "user"; expected "assistant"'],
  ])("%j is refused", (input, message) => {
    expect(() => textOf("x", input)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(message) }),
    );
  });

  test("a message may have no name: one that is absent, null or empty", () => {
    for (const name of [{}, { name: null }, { name: "" }]) {
      expect(textOf("{{ messages[0].name or 'nobody' }}", { messages: [{ role: "user", content: "x", ...name }] })).toBe("nobody");
    }
  });

  test("a cycle is refused", () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    expect(() => textOf("x", { ...USER, tools: cycle })).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });
});

describe("named templates", () => {
  const named = { default: "plain", tool_use: "tools", rag: "documents" };

  test("tools take tool_use, a request may name one", () => {
    expect(textOf(named, USER)).toBe("plain");
    expect(textOf(named, { ...USER, tools: [] })).toBe("tools");
    expect(textOf(named, { ...USER, tools: [], template: "default" })).toBe("plain");
    expect(textOf(named, { ...USER, template: "rag" })).toBe("documents");
    expect(textOf({ default: "plain" }, { ...USER, tools: [] })).toBe("plain");
  });

  test("without a default one has to be named", () => {
    expect(() => textOf({ rag: "x" }, USER)).toThrow(expect.objectContaining({ code: "NO_CHAT_TEMPLATE" }));
    expect(textOf({ rag: "x" }, { ...USER, template: "rag" })).toBe("x");
  });
});

describe("messages as servers take them", () => {
  const LOOP = "{% for m in messages %}";
  const call = (given: unknown) => ({
    messages: [USER.messages[0], { role: "assistant", tool_calls: [{ type: "function", function: { name: "f", arguments: given } }] }],
  });
  const calls = (print: string) => `${LOOP}{% for c in m.tool_calls or [] %}${print}{% endfor %}{% endfor %}`;

  test("arguments as the template takes them", () => {
    const asJson = calls("{{ c.function.arguments | tojson }}");
    expect(textOf(asJson, call({ a: 1 }))).toBe('{"a": 1}');
    expect(textOf(asJson, call('{"a": 1.0, "b": 9007199254740993, "c": [1e-07, true, null]}'))).toBe(
      '{"a": 1.0, "b": 9007199254740993, "c": [1e-07, true, null]}',
    );
    const asText = calls("{{ '' + c.function.arguments }}");
    expect(textOf(asText, call('{"a":1}'))).toBe('{"a":1}');
    expect(textOf(asText, call({ a: [1, "é", null] }))).toBe('{"a": [1, "é", null]}');
    const either = calls("{{ c.function.arguments if c.function.arguments is string else c.function.arguments | tojson }}");
    expect(textOf(either, call('{"a":1}'))).toBe('{"a":1}');
    expect(textOf(either, call({ a: 1 }))).toBe('{"a": 1}');
    // What isn't the text of an object stays.
    expect(textOf(asJson, call("[1]"))).toBe('"[1]"');
    expect(textOf(asJson, call("{oops"))).toBe('"{oops"');
  });

  test("content as text or as parts", () => {
    const parts = { messages: [{ role: "user", content: ["a ", "b"].map((text) => ({ type: "text", text })) }] };
    expect(textOf(`${LOOP}{{ m.content }}{% endfor %}`, parts)).toBe("a b");
    expect(textOf(`${LOOP}{{ m.role + m.content }}{% endfor %}`, parts)).toBe("usera b");
    const loops = `${LOOP}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endif %}{% endfor %}`;
    expect(textOf(loops, parts)).toBe("[a ][b]");
    expect(textOf(`${LOOP}{% for p in m.content %}[{{ p.text }}]{% endfor %}{% endfor %}`, USER)).toBe("[hi]");
  });

  test("tools as a list or as its JSON text", () => {
    const chat = { ...USER, tools: [{ type: "function", function: { name: "f" } }] };
    const json = '[{"type": "function", "function": {"name": "f"}}]';
    expect(textOf("{% if tools %}{{ tools | string }}{% endif %}", chat)).toBe(json);
    expect(textOf("{{ tools | tojson }}", chat)).toBe(json);
    expect(textOf("{% if tools %}{{ tools }}{% endif %}", { ...USER, tools: [] })).toBe("");
    // What looks into the list is given one.
    const python = json.replaceAll('"', "'");
    expect(textOf("{{ tools | length }}{{ tools }}", chat)).toBe(`1${python}`);
    expect(textOf("{% for t in tools %}{{ t }}{% endfor %}", chat)).toBe(python.slice(1, -1));
  });

  test("absent content as null or as an empty text", () => {
    const absent = { messages: [USER.messages[0], { role: "assistant" }] };
    expect(textOf(`${LOOP}{{ m.role + ':' + m.content }};{% endfor %}`, absent)).toBe("user:hi;assistant:;");
    expect(textOf(`${LOOP}{{ m.content }};{% endfor %}`, absent)).toBe("hi;;");
    expect(textOf(`${LOOP}{% if m.content is none %}-{% else %}{{ m.content }}{% endif %};{% endfor %}`, absent)).toBe("hi;-;");
  });

  test("continueFinalMessage leaves the last message open", () => {
    const source = `${LOOP}<{{ m.role }}>{{ m.content }}</>\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}`;
    const chat = (content: unknown) => ({ messages: [USER.messages[0], { role: "assistant", content }], continueFinalMessage: true });
    expect(textOf(source, chat("Once upon "))).toBe("<user>hi</>\n<assistant>Once upon ");
    expect(textOf(source, chat(""))).toBe("<user>hi</>\n<assistant>");
    expect(textOf(source, chat([{ type: "text", text: "x" }]))).toBe("<user>hi</>\n<assistant>x");
    expect(textOf(source.replace("m.content", "m.content|trim"), chat(" x "))).toBe("<user>hi</>\n<assistant>x");
    expect(() => textOf("nothing", chat("x"))).toThrow(expect.objectContaining({ code: "TEMPLATE_FAILED" }));
  });
});

describe("who wrote what", () => {
  const chat = (content: string) => ({ messages: [{ role: "user", content }] });

  test.each([
    ["<s>{{ messages[0].content }}</s>", ["<s>", "</s>"]],
    ["<s>{{ messages[0].content | upper | replace('A', '<b>') | trim }}</s>", ["<s><b><b></s>"]],
    ["{{ '<a>' + messages[0].content + '<c>' }}", ["<a>", "<c>"]],
    ["{{ ('<a>' + messages[0].content)[2:] }}", [">"]],
    ["{{ '<a>%s<c>' % messages[0].content }}", ["<a>", "<c>"]],
    ["{{ '<a>{}<c>'.format(messages[0].content) }}", ["<a>", "<c>"]],
    ["{{ [messages[0].content, messages[0].content] | join('<sep>') }}", ["<sep>"]],
    ["{{ '<sep>'.join([messages[0].content, 'x']) }}", ["<sep>x"]],
    ["{{ ('a<sep>' ~ messages[0].content).split('<')[1] }}", ["sep>"]],
    ["{{ messages[0].content | tojson }}", []],
    ["{{ {'<a>': messages[0].content} | tojson }}", ["<a>"]],
    ["{{ [messages[0].content, '<b>'] }}", ["<b>"]],
    ["{% set x %}<a>{{ messages[0].content }}{% endset %}{{ x }}", ["<a>"]],
    ["{% macro m(c) %}<m>{{ c }}{% endmacro %}{{ m(messages[0].content) }}", ["<m>"]],
    ["{% filter upper %}<a>{{ messages[0].content }}{% endfilter %}", ["<A>"]],
    ["{{ messages[0].content | indent(2, true) }}", ["  "]],
    ["{{ messages[0].content | reverse }}{{ messages | map(attribute='content') | list }}", []],
    ["{{ bos_token }}{{ 1 }}{{ none }}", ["<s>1None"]],
  ])("%s", (source, written) => {
    expect(writtenOf(source, chat("aa"))).toEqual(written);
  });

  test("a user's words equal the template's, but aren't", () => {
    const source =
      "{{ messages[0].content }}{{ messages[0].content == '<s>' }}{{ {'<s>': 1}[messages[0].content] }}{{ messages[0].content in '<s>' }}";
    expect(writtenOf(source, chat("<s>"))).toEqual(["True1True"]);
  });

  test("lone surrogates become U+FFFD", () => {
    expect(textOf("{{ messages[0].content }}{{ '\\ud800' }}\udc00", chat("a\ud800b"))).toBe("a\ufffdb\ufffd\ufffd");
  });
});
