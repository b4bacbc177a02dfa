import { describe, expect, test } from "vitest";
import type { GgufValue } from "../../../../lib/files/gguf.ts";
import { decodeTokens } from "../../../../lib/text/output/detokenizer.ts";
import type { Codec } from "../../../../lib/text/tokenizer/codec.ts";
import { ggufCodec } from "../../../../lib/text/tokenizer/gguf-tokenizer.ts";

type Token = [text: string, type: number, score?: number];
const [NORMAL, UNKNOWN, CONTROL, USER, BYTE] = [1, 2, 3, 4, 6];
const ALL = { addSpecial: true, parseSpecial: true };
const PLAIN = { addSpecial: false, parseSpecial: false };

function metadata(model: string, tokens: Token[], more: Record<string, GgufValue> = {}): Map<string, GgufValue> {
  return new Map<string, GgufValue>(
    Object.entries({
      model,
      tokens: tokens.map(([text]) => text),
      token_type: tokens.map(([, type]) => type!),
      scores: tokens.map(([, , score = 0]) => score),
      ...more,
    }).map(([name, value]) => [`tokenizer.ggml.${name}`, value]),
  );
}

const bytes: Token[] = Array.from({ length: 256 }, (_, byte) => [`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`, BYTE]);
// 3..258 are the bytes.
const pieces: Token[] = ["▁", "a", "b", "aa", "aaaa", "▁a", "</", "s", ">", "s>", "__proto__"].map((text, i) => [text, NORMAL, -i]);
const spm: Token[] = [["<unk>", UNKNOWN], ["<s>", CONTROL], ["</s>", CONTROL], ...bytes, ...pieces, ["[x]", USER]];

function texts(_codec: Codec, ids: number[]): string[] {
  return ids.map((id) => spm[id]![0]);
}

describe("SentencePiece BPE", () => {
  const codec = ggufCodec(metadata("llama", spm), "test");
  const encode = (text: string, options = PLAIN): string[] => texts(codec, codec.encode(text, options));

  test("merges by score, leftmost first; bytes for the rest", () => {
    expect(encode("aaa")).toEqual(["▁", "aa", "a"]);
    expect(encode("b aé")).toEqual(["▁", "b", "▁a", "<0xC3>", "<0xA9>"]);
    expect(encode("")).toEqual([]);
    expect(encode("__proto__ constructor").length).toBeGreaterThan(0);
  });

  test("BOS and the prefix space by default, by the file's keys otherwise", () => {
    expect(encode("b", ALL)).toEqual(["<s>", "▁", "b"]);
    expect(encode("", ALL)).toEqual(["<s>"]);
    const other = ggufCodec(metadata("llama", spm, { add_bos_token: false, add_eos_token: true, add_space_prefix: false }), "test");
    expect(texts(other, other.encode("b", ALL))).toEqual(["b", "</s>"]);
    expect(other.vocabulary).toMatchObject({ addsBos: false, prefixSpace: false, bosToken: 1, eosText: "</s>" });
  });

  test("special tokens are parsed or not, and never made by merging; user-defined ones always are", () => {
    expect(encode("a</s>b", ALL)).toEqual(["<s>", "▁a", "</s>", "▁", "b"]);
    expect(encode("a</s>b")).toEqual(["▁a", "</", "s>", "b"]);
    expect(encode("a[x]")).toEqual(["▁a", "[x]"]);
  });

  test("texts come back", async () => {
    for (const text of ["", " ", "  a", "a b", "é🙂\n\t", "__proto__", "<0x0A>"])
      expect(await decodeTokens(codec.vocabulary, codec.encode(text, ALL))).toBe(text);
  });

  test("time grows in step with the text, whatever it repeats", () => {
    const time = (unit: string, count: number): number => {
      const start = performance.now();
      codec.encode(unit.repeat(count), PLAIN);
      return performance.now() - start;
    };
    for (const unit of ["a", "^", "a "]) {
      time(unit, 20_000);
      expect(time(unit, 200_000)).toBeLessThan(2000);
    }
  });
});

describe("byte-level BPE", () => {
  const tokens: Token[] = [
    ["a", NORMAL],
    ["b", NORMAL],
    ["ab", NORMAL],
    ["Ġ", NORMAL],
    ["<e>", CONTROL],
    ["<", NORMAL],
    ["e", NORMAL],
    [">", NORMAL],
    ["aba", NORMAL],
    ["<u>", USER],
  ];
  const more = { merges: ["a b", "< e", "<e >"], bos_token_id: 4, eos_token_id: 4 };
  const codecOf = (pre: string, extra: Record<string, GgufValue> = {}): Codec =>
    ggufCodec(metadata("gpt2", tokens, { ...more, pre, ...extra }), "test");

  test("pre-tokenizers by name: whole words and BOS are what the name says", () => {
    expect(codecOf("gpt-2").encode("aba b", ALL)).toEqual([2, 0, 3, 1]);
    expect(codecOf("qwen2").encode("aba", ALL)).toEqual([2, 0]);
    expect(codecOf("minicpm5").encode("aba", ALL)).toEqual([8]);
    expect(codecOf("llama-bpe").encode("aba", ALL)).toEqual([4, 8]);
    expect(codecOf("llama-bpe", { add_bos_token: false }).encode("aba", ALL)).toEqual([8]);
  });

  test("special tokens are parsed or not; user-defined ones always are, but for one that ends a turn", () => {
    expect(codecOf("gpt-2").encode("a<e>", ALL)).toEqual([0, 4]);
    expect(codecOf("gpt-2").encode("a<e><u>", PLAIN)).toEqual([0, 5, 6, 7, 9]);
    const eot = codecOf("gpt-2", { eot_token_id: 9 });
    expect(eot.specials.tokens.map(({ text }) => text)).toEqual(["<e>", "<u>"]);
    expect([...eot.vocabulary.special]).toEqual([0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
  });
});

test.each<[string, Map<string, GgufValue>, string, string]>([
  ["a model", metadata("t5", spm), "UNSUPPORTED_TOKENIZER", '"t5"'],
  [
    "a pre-tokenizer",
    metadata("gpt2", spm, { pre: "Qwen2", merges: [] }),
    "UNSUPPORTED_TOKENIZER",
    '"Qwen2"; kvasir reads a.x-4.0, bailingmoe,',
  ],
  ["no pre-tokenizer", metadata("gpt2", spm, { merges: [] }), "UNSUPPORTED_TOKENIZER", "pre is missing; kvasir reads"],
  ["a name of Object's", metadata("gpt2", spm, { pre: "constructor", merges: [] }), "UNSUPPORTED_TOKENIZER", '"constructor"'],
  ["scores of another length", metadata("llama", spm, { scores: [1] }), "FILE_INVALID", "scores"],
  ["types of another type", metadata("llama", spm, { token_type: ["x"] }), "FILE_INVALID", "token_type"],
  ["tokens that are none", metadata("llama", spm, { tokens: 5 }), "FILE_INVALID", "tokens"],
  ["an id that is none", metadata("llama", spm, { bos_token_id: 1.5 }), "FILE_INVALID", "1.5"],
  ["a flag that is a number", metadata("llama", spm, { add_bos_token: 1 }), "FILE_INVALID", "add_bos_token"],
  ["a byte token out of range", metadata("llama", [["<0x-1>", BYTE]]), "FILE_INVALID", "<0x-1>"],
  ["a merge of one token", metadata("gpt2", spm, { pre: "gpt-2", merges: ["ab"] }), "FILE_INVALID", "merges[0]"],
])("%s is refused", (_, values, code, message) => {
  expect(() => ggufCodec(values, "test.gguf")).toThrow(expect.objectContaining({ code, message: expect.stringContaining(message) }));
});
