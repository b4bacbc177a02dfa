import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterEach, describe, expect, test } from "vitest";
import { type ChatInput, ChatTemplate } from "../../../../lib/text/chat/template.ts";
import { workerUrl } from "../../../../lib/workers/worker-client.ts";

const opened: ChatTemplate[] = [];

function template(source: string, deadlineMs?: number): ChatTemplate {
  const tokens = { bosText: "<s>", eosText: "</s>", specialTexts: ["<s>", "</s>"] };
  const made = new ChatTemplate(source, tokens, deadlineMs === undefined ? {} : { deadlineMs });
  opened.push(made);
  return made;
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((made) => made.close()));
});

const USER = { messages: [{ role: "user", content: "hi" }] };

describe("chat templates in a process of their own", () => {
  test("variables of the template", async () => {
    const source =
      "{{ bos_token }}{{ messages[0].content }}{{ eos_token }} {{ tools is none }} {{ documents is none }} {{ add_generation_prompt }} {{ enable_thinking }}";
    const made = template(source);
    expect(await made.render(USER)).toEqual({ text: "<s>hi</s> true true true ", masks: [] });
    const input = { ...USER, tools: [{ name: "f" }], addGenerationPrompt: false, templateVars: { enable_thinking: false } };
    expect((await made.render(input)).text).toBe("<s>hi</s> false true false false");
  });

  test("what the template says when it refuses", async () => {
    const made = template("{{ raise_exception('roles must alternate') }}");
    await expect(made.render(USER)).rejects.toMatchObject({
      code: "TEMPLATE_FAILED",
      message: expect.stringContaining("roles must alternate"),
    });
    await expect(template("{% if %}").render(USER)).rejects.toMatchObject({ code: "TEMPLATE_FAILED" });
  });

  test("one that hangs is ended at the deadline, and those that wait are rendered", async () => {
    const loops = "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}";
    const made = template(`{% if messages[0].content == "hang" %}${loops}{% endif %}done`, 300);
    const hanging = made.render({ messages: [{ role: "user", content: "hang" }] });
    const waiting = made.render(USER);
    await expect(hanging).rejects.toMatchObject({ code: "TEMPLATE_FAILED", message: expect.stringContaining("300 ms") });
    expect((await waiting).text).toBe("done");
  });

  test("one that takes all memory is ended, too", { timeout: 20_000 }, async () => {
    const made = template(
      "{% set x = namespace(a=range(1000000)) %}{% for i in range(1000) %}{% set x.a = x.a + x.a %}{% endfor %}",
      10_000,
    );
    await expect(made.render(USER)).rejects.toMatchObject({ code: "TEMPLATE_FAILED" });
  });

  test("close rejects what runs, what waits and what comes later; errors have the caller's stack", async () => {
    const made = template("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}");
    const calls = [made.render(USER), made.render(USER)].map((call) => expect(call).rejects.toMatchObject({ code: "CLOSED" }));
    await made.close();
    await Promise.all(calls);
    try {
      await made.render(USER);
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ code: "CLOSED", stack: expect.stringContaining("template.test.ts") });
    }
  });

  test("an idle process lets this one end", async () => {
    const module = new URL("../text/chat/template.js", workerUrl("template-worker")).href;
    const make = `new ChatTemplate("done", { bosText: "", eosText: "", specialTexts: [] })`;
    const program = `import { ChatTemplate } from ${JSON.stringify(module)}; console.log((await ${make}.render(${JSON.stringify(USER)})).text);`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", program], { timeout: 20_000 });
    expect(stdout).toBe("done\n");
  });

  test.each<[unknown, string]>([
    [{ messages: "hi" }, "messages"],
    [{ messages: [] }, "messages"],
    [{ messages: [null] }, "messages[0]"],
    [{ messages: [USER.messages[0], { content: "x" }] }, "messages[1].role"],
    [{ messages: [{ role: "user", content: 5 }] }, "messages[0].content"],
    [{ messages: [{ role: "user", content: ["x"] }] }, "messages[0].content[0]"],
    [{ messages: [{ role: "user", content: [{ type: "text" }] }] }, "messages[0].content[0].text"],
    [{ messages: [{ role: "user", content: [{ type: "image_url" }] }] }, "messages[0].content[0].type"],
    [{ ...USER, tools: {} }, "tools"],
    [{ ...USER, addGenerationPrompt: 1 }, "addGenerationPrompt"],
    [{ ...USER, templateVars: [] }, "templateVars"],
    [{ ...USER, templateVars: { messages: [] } }, "templateVars.messages"],
    [{ ...USER, templateVars: { f: () => 0 } }, "JSON"],
  ])("%j is refused", async (input, message) => {
    await expect(template("x").render(input as ChatInput)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message),
    });
  });
});
