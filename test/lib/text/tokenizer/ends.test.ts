import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { GgufValue } from "../../../../lib/files/gguf.ts";
import { byteLevelAlphabet } from "../../../../lib/text/tokenizer/byte-level.ts";
import type { Codec } from "../../../../lib/text/tokenizer/codec.ts";
import { ggufCodec } from "../../../../lib/text/tokenizer/gguf-tokenizer.ts";
import { openCodec } from "../../../../lib/text/tokenizer/source.ts";

/** End tokens are control tokens, whatever the file says of them: parsed or not as the others are, and left out of completions. */

const directory = mkdtempSync(join(tmpdir(), "kvasir-ends-"));
afterAll(() => rmSync(directory, { recursive: true }));

const PARSED = { addSpecial: false, parseSpecial: true };
const PLAIN = { addSpecial: false, parseSpecial: false };
const ENDS = [
  "<|eot_id|>",
  "<|end_of_text|>",
  "<|im_end|>",
  "<|endoftext|>",
  "<|return|>",
  "<|call|>",
  "<end_of_turn>",
  "<|end|>",
  "[EOT]",
];
const MORE = ["<end_of_utterance>", "<｜end▁of▁sentence｜>", "<|eom_id|>"];
const LETTERS = [...new Set([..."<|>[]_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", ...byteLevelAlphabet()])];

function expectControl(codec: Codec, text: string, id: number): void {
  expect(codec.vocabulary.endTokens).toContain(id);
  expect(codec.vocabulary.special[id]).toBe(1);
  expect(codec.specials.tokens.map((token) => token.text)).toContain(text);
  expect(codec.encode(`a${text}b`, PARSED)).toContain(id);
  expect(codec.encode(`a${text}b`, PLAIN)).not.toContain(id);
}

describe("tokenizer.json", () => {
  const open = async (added: object[], config: object = {}, endTokens: number[] = [], vocab: string[] = []): Promise<Codec> => {
    const ids = Object.fromEntries([...LETTERS, ...vocab].map((text, id) => [text, id]));
    const json = {
      added_tokens: added,
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: false },
      decoder: { type: "ByteLevel" },
      model: { type: "BPE", vocab: ids, merges: [] },
    };
    writeFileSync(join(directory, "tokenizer.json"), JSON.stringify(json));
    writeFileSync(join(directory, "tokenizer_config.json"), JSON.stringify(config));
    return openCodec({ kind: "huggingface", directory, endTokens });
  };
  const id = 1000;

  test.each([...ENDS, ...MORE])("%s, added as an ordinary token or in the model's vocabulary", async (text) => {
    expectControl(await open([{ id, content: text, special: false }]), text, id);
    if (!text.includes("▁")) expectControl(await open([], {}, [], [text]), text, LETTERS.length);
  });

  test("what tokenizer_config.json names, and what the configs name of the added tokens", async () => {
    expectControl(await open([{ id, content: "<over>", special: false }], { eos_token: { content: "<over>" } }), "<over>", id);
    const named = await open([{ id, content: "<over>", special: false }], {}, [id, 0, 4000]);
    expect([named.vocabulary.special[id], named.vocabulary.special[0]]).toEqual([1, 0]);
    const other = await open([{ id, content: "<other>", special: false }], { eos_token: "<absent>" });
    expect([other.vocabulary.special[id], other.vocabulary.endTokens]).toEqual([0, []]);
  });

  test("all of them, in whatever number", async () => {
    const added = [...ENDS, ...MORE].map((content, i) => ({ id: id + i, content, special: i % 2 === 0 }));
    const { vocabulary } = await open(added, { eos_token: "a" });
    expect([...vocabulary.endTokens].sort((a, b) => a - b)).toEqual([LETTERS.indexOf("a"), ...added.map((token) => token.id)]);
  });
});

describe("GGUF", () => {
  const NORMAL = 1;
  const open = (model: string, texts: string[], more: Record<string, GgufValue> = {}, type = NORMAL): Codec => {
    const tokens = [...LETTERS, ...texts];
    const values = {
      model,
      pre: "gpt-2",
      tokens,
      token_type: tokens.map((_, i) => (i < LETTERS.length ? NORMAL : type)),
      scores: tokens.map(() => 0),
      merges: [],
      add_space_prefix: false,
      bos_token_id: 999,
      eos_token_id: 999,
      unknown_token_id: 999,
      ...more,
    };
    return ggufCodec(new Map(Object.entries(values).map(([key, value]) => [`tokenizer.ggml.${key}`, value])), "test.gguf");
  };

  test.each(["gpt2", "llama"])("%s: well-known ones, typed as normal, user-defined or unused", (model) => {
    for (const text of [...ENDS, ...MORE]) for (const type of [1, 4, 5]) expectControl(open(model, [text], {}, type), text, LETTERS.length);
  });

  test.each(["gpt2", "llama"])("%s: those that the metadata names, but for single characters", (model) => {
    const [over, letter] = [LETTERS.length, LETTERS.indexOf("a")];
    for (const name of ["eos", "eot", "eom"]) {
      const codec = open(model, ["<over>"], { [`${name}_token_id`]: over });
      expect([...codec.vocabulary.special].lastIndexOf(1)).toBe(over);
      expect(codec.encode("a<over>", PARSED)).toEqual([letter, over]);
      expect(open(model, [], { [`${name}_token_id`]: letter }).encode("ab", PARSED)).toEqual([letter, letter + 1]);
    }
  });

  test("ids outside the vocabulary are those that the file does not name", () => {
    expect(open("gpt2", []).vocabulary).toMatchObject({ bosToken: -1, eosToken: -1, endTokens: [] });
    expect(open("llama", []).vocabulary).toMatchObject({ bosToken: 1, eosToken: 2 });
  });
});
