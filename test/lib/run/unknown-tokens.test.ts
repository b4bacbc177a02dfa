import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Engine } from "../../../lib/engine.ts";
import { expectError } from "../../support/expect.ts";
import { writeJson } from "../../support/files.ts";
import { TINY, writeModel } from "../../support/models.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { expectIdle } from "./support.ts";

/** Some fine-tunes add tokens for which the model has no embedding: here `[PAD]`, whose id is the model's vocabulary size. */

const directory = temporaryDirectory();
const PAD = TINY.vocabSize;
const LETTERS = Object.fromEntries(Array.from({ length: PAD }, (_, id) => [String.fromCharCode(65 + id), id])); // A is 0
const GREEDY = { temperature: 0, maxTokens: 12, ignoreEos: true };
const warnings: NodeJS.ErrnoException[] = [];
const note = (warning: Error): void => void warnings.push(warning);
let engine: Engine;

/** A tokenizer.json of single characters, and `[PAD]` if it has an id. */
const tokenizerOf = (pad?: number): object => ({
  added_tokens: pad === undefined ? [] : [{ id: pad, content: "[PAD]", special: true, normalized: false }],
  normalizer: null,
  pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: false },
  post_processor: null,
  decoder: { type: "ByteLevel" },
  model: { type: "BPE", vocab: LETTERS, merges: [], unk_token: "Z" },
});

async function write(name: string, pad?: number): Promise<string> {
  const path = join(directory, name);
  await writeModel(path, TINY);
  await writeJson(join(path, "tokenizer.json"), tokenizerOf(pad));
  const template = "{% for message in messages %}{{ message.content }}{% if message.pad %}[PAD]{% endif %}{% endfor %}";
  await writeJson(join(path, "tokenizer_config.json"), { chat_template: template });
  writeFileSync(join(path, "generation_config.json"), "{}");
  return path;
}

beforeAll(async () => {
  process.on("warning", note);
  engine = await Engine.open(await write("padded", PAD), { threads: 1 });
  await new Promise((resolve) => setImmediate(resolve)); // warnings come in a later turn
});
afterAll(async () => {
  process.off("warning", note);
  await engine.close();
});

test("open warns of them once, and of nothing where there are none", async () => {
  const own = (): NodeJS.ErrnoException[] => warnings.filter(({ code }) => code === "KVASIR_UNKNOWN_TOKENS");
  expect(own()).toMatchObject([{ name: "KvasirWarning", message: expect.stringContaining(`padded has ${PAD + 1} ids, the model ${PAD}`) }]);
  const plain = await Engine.open(await write("plain"), { threads: 1 });
  await new Promise((resolve) => setImmediate(resolve));
  expect(own()).toHaveLength(1);
  expect([...(await plain.tokenize("ABA"))]).toEqual([0, 1, 0]);
  await plain.close();
});

describe("a request with one is refused alone", () => {
  const calls: [string, () => Promise<unknown>][] = [
    ["a text prompt", () => engine.generate("AB[PAD]C", GREEDY)],
    ["a stream's text prompt", () => engine.stream("[PAD]", GREEDY).next()],
    ["a template's text", () => engine.generate({ messages: [{ role: "user", content: "AB", pad: true } as never] }, GREEDY)],
    ["a scored text", () => engine.score("A[PAD]")],
    ["token ids", () => engine.generate([0, PAD], GREEDY)],
  ];

  test.each(calls)("%s", async (_, call) => {
    const others = [engine.generate("ABC", GREEDY), engine.generate("CBA", GREEDY)];
    await expectError(call(), "INVALID_ARGUMENT", new RegExp(`${PAD}`));
    const both = [call(), call()].map((again) => expectError(again, "INVALID_ARGUMENT"));
    for (const { tokens } of await Promise.all(others)) expect(tokens).toHaveLength(12);
    await Promise.all(both);
    expectIdle(engine);
    expect((await engine.generate("ABC", GREEDY)).tokens).toEqual((await others[0]!).tokens);
  });
});

test("what is no token of that name goes on: its text in a message, or without parseSpecial", async () => {
  const message = { role: "user", content: "A" } as const;
  expect((await engine.generate({ messages: [message] }, GREEDY)).tokens).toHaveLength(12);
  expect([...(await engine.tokenize("A[PAD]"))]).toEqual([0, PAD]);
  const text = await engine.tokenize("[PAD]", { parseSpecial: false });
  expect([...text]).toEqual(["[", "P", "A", "D"].map((letter) => LETTERS[letter]).concat(LETTERS["]"]));
  expect((await engine.generate("[PAD]", { ...GREEDY, parseSpecial: false })).tokens).toHaveLength(12);
});
