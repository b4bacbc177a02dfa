import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { decodeTokens } from "../../../../lib/text/output/detokenizer.ts";
import type { Codec } from "../../../../lib/text/tokenizer/codec.ts";
import { encodeChat } from "../../../../lib/text/tokenizer/codec.ts";
import { openCodec } from "../../../../lib/text/tokenizer/source.ts";
import { hasShared, sharedPath } from "../../../support/shared.ts";

const directory = mkdtempSync(join(tmpdir(), "kvasir-tokenizer-"));
afterAll(() => rmSync(directory, { recursive: true }));

const ALL = { addSpecial: true, parseSpecial: true };
const PLAIN = { addSpecial: false, parseSpecial: false };
const VOCAB = {
  "<s>": 0,
  "▁": 1,
  a: 2,
  b: 3,
  "▁a": 4,
  "<": 5,
  s: 6,
  ">": 7,
  "<s": 8,
  constructor: 9,
  "<0x0A>": 10,
  "<t>": 11,
  "<unk>": 12,
};
const special = { id: 0, content: "<s>", special: true, normalized: false };
const STRIP = { type: "Strip", content: " ", start: 1, stop: 0 };
const REPLACE = { type: "Replace", pattern: { String: "▁" }, content: " " };

const base = {
  added_tokens: [special, { id: 11, content: "<t>", special: false }],
  normalizer: null,
  pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
    special_tokens: { "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] } },
  },
  decoder: { type: "Sequence", decoders: [REPLACE, { type: "ByteFallback" }, { type: "Fuse" }, STRIP] },
  model: { type: "BPE", vocab: VOCAB, merges: ["▁ a", "< s", "<s >"], byte_fallback: true, unk_token: "<unk>" },
};

async function open(json: unknown, config?: unknown): Promise<Codec> {
  writeFileSync(join(directory, "tokenizer.json"), typeof json === "string" ? json : JSON.stringify(json));
  writeFileSync(join(directory, "tokenizer_config.json"), JSON.stringify(config ?? {}));
  return openCodec({ kind: "huggingface", directory });
}

describe("tokenizer.json", () => {
  test("prefix space at the start alone, BOS by the post-processor, other added tokens", async () => {
    const codec = await open(base);
    expect(codec.encode("a", ALL)).toEqual([0, 4]);
    expect(codec.encode("a<t>a", ALL)).toEqual([0, 4, 11, 2]);
    expect(codec.encode("", ALL)).toEqual([0]);
    expect(codec.vocabulary).toMatchObject({ size: 13, bosToken: 0, bosText: "<s>", eosToken: -1, addsBos: true, prefixSpace: true });
    expect(await decodeTokens(codec.vocabulary, [0, 4, 11, 2, 10])).toBe("a<t>a\n");
  });

  test("special tokens are neither parsed nor merged into when they are not asked for", async () => {
    const codec = await open(base);
    expect(codec.encode("a<s>a", ALL)).toEqual([0, 4, 0, 2]);
    expect(codec.encode("a<s><t>", PLAIN)).toEqual([4, 8, 7, 11]);
    const whole = await open({ ...base, model: { ...base.model, ignore_merges: true }, pre_tokenizer: null });
    expect(whole.encode("<s>", PLAIN)).toEqual([8, 7]);
  });

  test("a chat's text continues after its special tokens, and what the template didn't write stays text", async () => {
    const codec = await open(base);
    expect(encodeChat(codec, { text: "<s>a<s>a", written: [[0, 8]] })).toEqual([0, 2, 0, 2]);
    expect(encodeChat(codec, { text: "<s>a<s>a", written: [[0, 3]] })).toEqual([0, 2, 8, 7, 2]);
    // Of which a part was given, is none.
    expect(
      encodeChat(codec, {
        text: "<s>a<s>a",
        written: [
          [0, 4],
          [5, 8],
        ],
      }),
    ).toEqual([0, 2, 8, 7, 2]);
    expect(
      encodeChat(codec, {
        text: "<s>a<s>a",
        written: [
          [0, 6],
          [7, 8],
        ],
      }),
    ).toEqual([0, 2, 8, 7, 2]);
    expect(encodeChat(codec, { text: "<s>a<s>a", written: [] })).toEqual(codec.encodePlain("<s>a<s>a", true));
  });

  test("white space beside a token that strips it", async () => {
    const codec = await open({ ...base, added_tokens: [{ ...special, lstrip: true, rstrip: true }] });
    expect(encodeChat(codec, { text: "a  <s> \n a<", written: [[3, 6]] })).toEqual([4, 0, 2, 5]);
    expect(codec.encode("a  <s> \n a<", { addSpecial: false, parseSpecial: true })).toEqual([4, 0, 2, 5]);
  });

  test("a normalizer that folds characters never makes control of a chat's content", async () => {
    const codec = await open({ ...base, normalizer: { type: "NFKC" }, added_tokens: [{ ...special, normalized: true }] });
    expect(codec.encode("＜s＞", { addSpecial: false, parseSpecial: true })).toEqual([0]);
    expect(encodeChat(codec, { text: "<s>＜s＞", written: [[0, 6]] })).toEqual([0, 8, 7]);
  });

  test("names of BOS and EOS come from tokenizer_config.json", async () => {
    const codec = await open({ ...base, post_processor: null }, { bos_token: { content: "<s>" }, eos_token: "<t>" });
    expect(codec.vocabulary).toMatchObject({ bosToken: 0, eosToken: 11, addsBos: false, eosText: "<t>" });
  });

  test("add_bos_token and add_eos_token count for the classes that make their post-processor of them", async () => {
    const config = { tokenizer_class: "LlamaTokenizerFast", bos_token: "<s>", eos_token: "<t>" };
    expect((await open({ ...base, post_processor: null }, { ...config, add_bos_token: true })).encode("a", ALL)).toEqual([0, 4]);
    expect((await open(base, { ...config, add_bos_token: false, add_eos_token: true })).encode("a", ALL)).toEqual([4, 11]);
    const neoX = { ...config, tokenizer_class: "GPTNeoXTokenizer", add_eos_token: true };
    expect((await open(base, neoX)).encode("a", ALL)).toEqual([4, 11]);
    expect((await open(base, { ...config, tokenizer_class: "PreTrainedTokenizerFast", add_bos_token: false })).encode("a", ALL)).toEqual([
      0, 4,
    ]);
    expect((await open(base, config)).encode("a", ALL)).toEqual([0, 4]);
    await expect(open(base, { ...config, add_bos_token: 1 })).rejects.toMatchObject({ code: "FILE_INVALID" });
    await expect(open(base, { ...config, eos_token: "none", add_eos_token: true })).rejects.toMatchObject({ code: "FILE_INVALID" });
  });

  test("neighbouring unknown characters become one token or several, behind the bytes between them", async () => {
    const { byte_fallback, ...model } = base.model;
    const pre_tokenizer = null;
    expect((await open({ ...base, pre_tokenizer, model })).encode("aéüa", PLAIN)).toEqual([2, 12, 12, 2]);
    expect((await open({ ...base, pre_tokenizer, model: { ...model, fuse_unk: true } })).encode("aéüa", PLAIN)).toEqual([2, 12, 2]);
    expect((await open({ ...base, pre_tokenizer })).encode("é\na", PLAIN)).toEqual([10, 12, 2]);
  });

  test.each<[string, unknown, string, string]>([
    ["a merge that makes no token", { ...base, model: { ...base.model, merges: ["a b"] } }, "FILE_INVALID", "merges[0]"],
    ["an unknown token that is none", { ...base, model: { ...base.model, unk_token: "?" } }, "FILE_INVALID", "unk_token"],
    ["text without a token", { ...base, model: { ...base.model, unk_token: null } }, "UNSUPPORTED_TOKENIZER", "no token for"],
    ["chance", { ...base, model: { ...base.model, dropout: 0.1 } }, "FILE_INVALID", "dropout"],
    ["a suffix of words", { ...base, model: { ...base.model, end_of_word_suffix: "</w>" } }, "FILE_INVALID", "end_of_word_suffix"],
    ["a flag that is a number", { ...base, added_tokens: [{ ...special, lstrip: 1 }] }, "FILE_INVALID", "lstrip"],
    ["a template without the text", { ...base, post_processor: { type: "TemplateProcessing", single: [] } }, "FILE_INVALID", "single"],
    ["text cut short", '{"model": {', "FILE_INVALID", "tokenizer.json"],
    ["no model", {}, "FILE_INVALID", "model"],
    ["another model", { ...base, model: { type: "WordPiece", vocab: {} } }, "UNSUPPORTED_TOKENIZER", "WordPiece"],
    ["an id that is none", { ...base, model: { ...base.model, vocab: { a: -1 } } }, "FILE_INVALID", "-1"],
    ["an absurd id", { ...base, model: { ...base.model, vocab: { a: 1e9 } } }, "FILE_INVALID", "1000000000"],
    ["merges that are none", { ...base, model: { ...base.model, merges: [["a"]] } }, "FILE_INVALID", "merges[0]"],
    ["an unknown decoder", { ...base, decoder: { type: "CTC" } }, "UNSUPPORTED_TOKENIZER", "CTC"],
    ["no decoder", { ...base, decoder: null }, "UNSUPPORTED_TOKENIZER", "decoder"],
    ["an unknown pre-tokenizer", { ...base, pre_tokenizer: { type: "Magic" } }, "UNSUPPORTED_TOKENIZER", "Magic"],
    ["an unknown post-processor", { ...base, post_processor: { type: "Magic" } }, "UNSUPPORTED_TOKENIZER", "Magic"],
    ["an added token without text", { ...base, added_tokens: [{ id: 1 }] }, "FILE_INVALID", "added_tokens[0]"],
  ])("%s is refused", async (_, json, code, message) => {
    await expect(open(json)).rejects.toMatchObject({ code, message: expect.stringContaining(message) });
  });
});

describe.skipIf(!hasShared)("tales", () => {
  test("tokenizer.json and GGUF give the same", async () => {
    const json = await openCodec({ kind: "huggingface", directory: sharedPath("models", "tales") });
    const gguf = await openCodec({ kind: "gguf", path: sharedPath("models", "tales", "tales-q4_0.gguf") });
    for (const text of [
      "Once upon a time,\n\n  there was 12345 é🙂",
      "<|im_start|>user\nHi<|im_end|>",
      "\ufeff x's Y'LL __proto__ constructor",
    ]) {
      for (const options of [ALL, PLAIN]) {
        const ids = json.encode(text, options);
        expect(gguf.encode(text, options)).toEqual(ids);
        expect(await decodeTokens(gguf.vocabulary, ids)).toBe(text);
      }
    }
    expect(gguf.vocabulary.bytes).toEqual(json.vocabulary.bytes);
    expect(gguf.vocabulary.special).toEqual(json.vocabulary.special);
  });

  test("time grows in step with the text, whatever it repeats", async () => {
    const codec = await openCodec({ kind: "huggingface", directory: sharedPath("models", "tales") });
    for (const unit of ["a", "^", " ", "a\n", "\n", "🙂"]) {
      const start = performance.now();
      codec.encode(unit.repeat(100_000), ALL);
      expect(performance.now() - start, JSON.stringify(unit)).toBeLessThan(4000);
    }
  });
});
