import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { Engine } from "../../lib/engine.ts";
import type { KvasirWarning } from "../../lib/errors.ts";
import { openText } from "../../lib/model/open.ts";
import type { Chat } from "../../lib/text/chat/messages.ts";
import { TokenizerClient } from "../../lib/text/tokenizer/tokenizer.ts";
import { Tokenizer } from "../../lib/tokenizer.ts";
import { expectError } from "../support/expect.ts";
import { writeGguf, writeJson } from "../support/files.ts";
import { hasShared, sharedPath } from "../support/shared.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const root = temporaryDirectory();
const LETTERS = Object.fromEntries([..."abcdefghij<|>_"].map((letter, id) => [letter, id]));
const JSON_TEXT = JSON.stringify({
  added_tokens: [{ id: 20, content: "<|im_end|>", special: false }],
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: false },
  decoder: { type: "ByteLevel" },
  model: { type: "BPE", vocab: LETTERS, merges: [], unk_token: "_" },
});
const TEMPLATE = "{% for message in messages %}{{ message.content }}<|im_end|>{% endfor %}";

/** A directory with a tokenizer and nothing else. */
async function write(name: string, tokenizer = JSON_TEXT, config: object = { chat_template: TEMPLATE }): Promise<string> {
  const directory = join(root, name);
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "tokenizer.json"), tokenizer);
  await writeJson(join(directory, "tokenizer_config.json"), config);
  return directory;
}

describe("a tokenizer without a model", () => {
  test("encodes, decodes and shows a prompt", async () => {
    await using tokenizer = await Tokenizer.open(await write("plain"));
    expect(tokenizer.vocabSize).toBe(21);
    expect(await tokenizer.encode("ab<|im_end|>")).toEqual(Int32Array.of(0, 1, 20));
    expect(await tokenizer.encode("<|", { parseSpecial: false, addSpecial: false })).toEqual(Int32Array.of(10, 11));
    expect(await tokenizer.decode(Int32Array.of(0, 1, 20))).toBe("ab<|im_end|>");
    expect(Buffer.from(tokenizer.tokenBytes(20)).toString()).toBe("<|im_end|>");
    expect(tokenizer.tokenBytes(19)).toEqual(new Uint8Array());
    tokenizer.tokenBytes(0).fill(0);
    expect(await tokenizer.decode([0])).toBe("a");
    // What a message carries is shown as it is, and is no control token.
    const { text, tokens } = await tokenizer.renderChat({ messages: [{ role: "user", content: "a<|im_end|>" }] });
    expect(text).toBe("a<|im_end|><|im_end|>");
    expect(tokens.filter((id) => id === 20)).toHaveLength(1);
    expect(tokens.at(-1)).toBe(20);
  });

  test("tokenizer_config.json is read once", async () => {
    const directory = await write("once", JSON_TEXT, { eos_token: "<|im_end|>", chat_template: "{{ eos_token }}" });
    const { tokenizer: source, chatTemplates } = await openText(directory);
    await rm(join(directory, "tokenizer_config.json"));
    expect(chatTemplates.get("default")).toBe("{{ eos_token }}");
    const client = await TokenizerClient.open(source!);
    expect(client.vocabulary.eosText).toBe("<|im_end|>");
    await client.close();
  });

  test("what is wrong is a typed error", async () => {
    const tokenizer = await Tokenizer.open(await write("wrong", JSON_TEXT, {}));
    await expectError(tokenizer.encode(5 as never), "INVALID_ARGUMENT", "text is 5");
    await expectError(tokenizer.encode("a", { addBos: true } as never), "INVALID_ARGUMENT", "addBos");
    await expectError(tokenizer.decode([21]), "INVALID_ARGUMENT", "tokens[0] is 21; expected a whole number from 0 to 20");
    expect(() => tokenizer.tokenBytes(-1)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
    await expectError(tokenizer.renderChat({ messages: [{ role: "user", content: "a" }] }), "NO_CHAT_TEMPLATE", "model wrong");
    await expectError(tokenizer.renderChat({ message: [] } as never), "INVALID_ARGUMENT", 'chat has no "message"');
    await tokenizer.close();
    await tokenizer.close();
    for (const call of [() => tokenizer.encode("a"), () => tokenizer.decode([0]), () => tokenizer.renderChat({ messages: [] })])
      await expectError(call(), "CLOSED", "the tokenizer was closed");
    await expectError(Tokenizer.open(join(root, "absent")), "FILE_NOT_FOUND", "absent");
    await expectError(Tokenizer.open(5 as never), "INVALID_ARGUMENT", "model is 5");
    await expectError(Tokenizer.open(root, { onWarning: 5 } as never), "INVALID_ARGUMENT", "onWarning is 5");
    await expectError(Tokenizer.open(root), "NO_TOKENIZER", "expected a directory with tokenizer.json");
    await writeGguf(join(root, "bare.gguf"), { metadata: { "general.name": "bare" } });
    await expectError(Tokenizer.open(join(root, "bare.gguf")), "NO_TOKENIZER", "bare.gguf");
  });

  test("warnings: of the files that the worker reads, too; each once", async () => {
    const directory = await write("irregular", `\ufeff${JSON_TEXT}`);
    await writeFile(join(directory, "tokenizer_config.json"), '{"chat_template": "a", "chat_template": "b", "model_max_length": Infinity}');
    await writeFile(join(directory, "generation_config.json"), '{"eos_token_id": 3, "eos_token_id": 4}');
    const warnings: KvasirWarning[] = [];
    const tokenizer = await Tokenizer.open(directory, { onWarning: (warning) => warnings.push(warning) });
    expect((await tokenizer.renderChat({ messages: [{ role: "user", content: "a" }] })).text).toBe("b");
    expect(warnings.map(({ message }) => message.slice(directory.length + 1)).sort()).toEqual([
      expect.stringMatching(/^generation_config.json has keys that stand twice/),
      expect.stringMatching(/^tokenizer.json begins with a byte-order mark/),
      expect.stringMatching(/^tokenizer_config.json has NaN or Infinity/),
      expect.stringMatching(/^tokenizer_config.json has keys that stand twice/),
    ]);
    for (const warning of warnings) expect(warning).toMatchObject({ name: "KvasirWarning", code: "KVASIR_FILE_IRREGULAR" });
    await tokenizer.close();
    const stop = (): never => {
      throw new Error("stop");
    };
    await expect(Tokenizer.open(directory, { onWarning: stop })).rejects.toThrow("stop");
  });

  test("a signal ends opening", async () => {
    const directory = await write("aborted", JSON_TEXT, {});
    const controller = new AbortController();
    const opening = Tokenizer.open(directory, { signal: controller.signal });
    setTimeout(() => controller.abort("enough"), 5);
    await expect(opening).rejects.toBe("enough");
    await expect(Tokenizer.open(directory, { signal: controller.signal })).rejects.toBe("enough");
  });
});

describe("the bundled model", () => {
  const chats: Chat[] = [
    { messages: [{ role: "user", content: "Hi <|im_end|>" }] },
    { messages: [{ role: "user", content: [{ type: "text", text: "a" }] }], addGenerationPrompt: false },
    {
      messages: [
        { role: "user", content: "a" },
        { role: "assistant", content: "b " },
      ],
      continueFinalMessage: true,
    },
  ];

  test("its engine makes the same tokens", async () => {
    await using tokenizer = await Tokenizer.open("tales");
    await using engine = await Engine.open("tales", { threads: 1 });
    for (const text of ["", "Once upon a time", "<|im_start|>é🙂"]) {
      const tokens = await tokenizer.encode(text);
      expect(tokens).toEqual(await engine.tokenize(text));
      expect(await tokenizer.decode(tokens)).toBe(text);
    }
    for (const chat of chats) {
      const { tokens, text } = await tokenizer.renderChat(chat);
      expect(await tokenizer.decode(tokens)).toBe(text);
      expect(await engine.renderChat(chat)).toEqual({ text, tokens });
      const { usage } = await engine.generate(chat, { maxTokens: 1 });
      expect(usage.promptTokens).toBe(tokens.length);
    }
  });
});

describe.skipIf(!hasShared)("GGUF files of vocabularies alone", () => {
  test.each(["llama-spm", "gpt-2"])("%s", async (name) => {
    await using tokenizer = await Tokenizer.open(sharedPath("tokenizers", "vocab", `ggml-vocab-${name}.gguf`));
    expect(tokenizer.vocabSize).toBeGreaterThan(30_000);
    const tokens = await tokenizer.encode("Hello, world");
    expect(tokens.length).toBeGreaterThan(2);
    expect(await tokenizer.decode(tokens)).toBe("Hello, world");
    await expectError(tokenizer.renderChat({ messages: [{ role: "user", content: "a" }] }), "NO_CHAT_TEMPLATE", name);
  });
});
