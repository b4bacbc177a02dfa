import { describe, expect, test } from "vitest";
import { compileNormalizer } from "../../../../lib/text/tokenizer/normalizers.ts";
import { pieceConverter } from "../../../../lib/text/tokenizer/piece-converter.ts";
import { compilePreTokenizer } from "../../../../lib/text/tokenizer/pre-tokenizers.ts";
import { portable } from "../../../../lib/text/tokenizer/regex-dialect.ts";
import { SpacedWords } from "../../../../lib/text/tokenizer/spaced-words.ts";
import { type AddedToken, TokenSplitter } from "../../../../lib/text/tokenizer/token-splitter.ts";

// What the Rust library (0.23.2) makes of these.

const LIMIT = 1000;
const SPLIT = { type: "Split", behavior: "Isolated", invert: false };

function normalize(normalizer: unknown, text: string): string {
  return compileNormalizer(normalizer, "test").apply(text, LIMIT);
}

function cut(preTokenizer: unknown, text: string, first = true): string[] {
  return compilePreTokenizer(preTokenizer, true, "test").cut(text, first, LIMIT);
}

function cutBy(Regex: string, text: string, behavior = "Isolated"): string[] {
  return cut({ ...SPLIT, pattern: { Regex }, behavior }, text);
}

describe("normalizers", () => {
  test.each<[string, object, string, string]>([
    ["a final sigma is a sigma", { type: "Lowercase" }, "ΑΣ İK", "ασ i̇k"],
    ["accents", { type: "Sequence", normalizers: [{ type: "NFD" }, { type: "StripAccents" }] }, "éǖ\u0301", "eu"],
    ["white space of Unicode", { type: "Strip", strip_left: true, strip_right: true }, "\u0085\u3000\ufeffa \n", "\ufeffa"],
    ["one side of it", { type: "Strip", strip_left: false, strip_right: true }, " a ", " a"],
    ["nothing before nothing", { type: "Prepend", prepend: "▁" }, "", ""],
    ["a text that is no pattern", { type: "Replace", pattern: { String: "." }, content: "$&" }, "a.b", "a$&b"],
    ["matches that are empty", { type: "Replace", pattern: { Regex: "x*" }, content: "-" }, "axb", "-a-b-"],
    ["bytes", { type: "ByteLevel" }, "é \n", "Ã©ĠĊ"],
  ])("%s", (_, normalizer, text, expected) => {
    expect(normalize(normalizer, text)).toBe(expected);
  });

  test("grow no text beyond its limit", () => {
    const grow = { type: "Replace", pattern: { Regex: "" }, content: "x".repeat(100) };
    expect(() => normalize(grow, "a".repeat(50))).toThrow(expect.objectContaining({ code: "TOKENIZER_FAILED" }));
  });
});

describe("pre-tokenizers", () => {
  test.each<[string, string[]]>([
    ["Isolated", ["a", " ", " ", "b", " "]],
    ["Removed", ["a", "b"]],
    ["MergedWithPrevious", ["a ", " ", "b "]],
    ["MergedWithNext", ["a", " ", " b", " "]],
    ["Contiguous", ["a", "  ", "b", " "]],
  ])("Split %s", (behavior, pieces) => {
    expect(cut({ ...SPLIT, pattern: { String: " " }, behavior }, "a  b ")).toEqual(pieces);
  });

  test("what stands between is what an inverted Split finds; empty matches part what they stand between", () => {
    expect(cut({ ...SPLIT, pattern: { Regex: "[a-z]+" }, behavior: "Removed", invert: true }, "ab12cd")).toEqual(["ab", "cd"]);
    expect(cutBy("a|", "aab", "Contiguous")).toEqual(["aa", "b"]);
    expect(cutBy("x*", "axb", "Removed")).toEqual(["a", "b"]);
    expect(cutBy("$", "🙂\n🙂")).toEqual(["🙂", "\n🙂"]);
  });

  test.each<[string, object, string, string[]]>([
    ["Digits are all numbers", { type: "Digits", individual_digits: false }, "a12½³x", ["a", "12½³", "x"]],
    ["Digits one by one", { type: "Digits", individual_digits: true }, "1٢a", ["1", "٢", "a"]],
    ["Whitespace", { type: "Whitespace" }, "a\u200db c²d_e\u0085é", ["a\u200db", "c", "²", "d_e", "é"]],
    ["WhitespaceSplit", { type: "WhitespaceSplit" }, " a\u0085b\ufeffc ", ["a", "b\ufeffc"]],
    ["Punctuation", { type: "Punctuation", behavior: "Removed" }, "a$b.c^٪", ["a", "b", "c"]],
    ["CharDelimiterSplit", { type: "CharDelimiterSplit", delimiter: "x" }, "axxb", ["a", "b"]],
    ["FixedLength counts characters", { type: "FixedLength", length: 2 }, "a😀12½", ["a😀", "12", "½"]],
    ["BertPreTokenizer", { type: "BertPreTokenizer" }, "it's so!", ["it", "'", "s", "so", "!"]],
  ])("%s", (_, component, text, pieces) => {
    expect(cut(component, text)).toEqual(pieces);
  });

  test("Metaspace of both dialects", () => {
    const metaspace = { type: "Metaspace", replacement: "▁" };
    expect(cut(metaspace, "a  b")).toEqual(["▁a", "▁", "▁b"]);
    expect(cut({ ...metaspace, split: false }, "a b")).toEqual(["▁a▁b"]);
    expect(cut({ ...metaspace, prepend_scheme: "first" }, "a", false)).toEqual(["a"]);
    expect(cut({ ...metaspace, add_prefix_space: false }, "a")).toEqual(["a"]);
  });

  test("ByteLevel inside a Sequence hands on bytes", () => {
    const bytes = { type: "ByteLevel", add_prefix_space: true, use_regex: true };
    expect(cut({ type: "Sequence", pretokenizers: [bytes, { type: "Digits", individual_digits: true }] }, "é1")).toEqual(["ĠÃ©", "1"]);
    expect(cut(bytes, "a\u0085 b's")).toEqual([" a", "\u0085", " b", "'s"]);
  });
});

describe("regular expressions of Oniguruma", () => {
  test("possessive quantifiers and atomic groups give nothing back", () => {
    expect(cutBy("a*+ab|a", "aaab")).toEqual(["a", "a", "a", "b"]);
    expect(cutBy("(?>a|ab)c|.", "abc")).toEqual(["a", "b", "c"]);
    expect(portable("[^a+]?+\\p{L}++")).not.toMatch(/[?+]\+/);
    expect(cutBy("\\d{2}+", "12345")).toEqual(["1234", "5"]);
  });

  test("letters without regard to case, lines, white space", () => {
    expect(cutBy("(?i:'s|'k)", "a'ſb'Kc'S")).toEqual(["a", "'ſ", "b", "'K", "c", "'S"]);
    expect(cutBy("(?i)ab", "xAByab")).toEqual(["x", "AB", "y", "ab"]);
    expect(normalize({ type: "Replace", pattern: { Regex: "^" }, content: ">" }, "a\nb\n")).toBe(">a\n>b\n");
    expect(cutBy("\\s+", "a\u0085\ufeffb")).toEqual(["a", "\u0085", "\ufeffb"]);
  });

  test.each(["\\G", "(a)\\1", "(?i:ss)", "(?i:é)", "\\X", "(?~a)", "a(", "[b-a]"])("%s is refused", (Regex) => {
    expect(() => cut({ ...SPLIT, pattern: { Regex } }, "a")).toThrow(expect.objectContaining({ code: "UNSUPPORTED_TOKENIZER" }));
  });
});

describe("added tokens", () => {
  const token = (id: number, text: string, flags: Partial<AddedToken> = {}): AddedToken => ({
    ...{ id, text, special: false, singleWord: false, lstrip: false, rstrip: false },
    ...flags,
  });
  const ids = (splitter: TokenSplitter, text: string): (string | number)[] =>
    splitter.split(text).map((piece) => (typeof piece === "string" ? piece : piece.id));

  test("the leftmost and longest; whole words alone; white space beside them", () => {
    const splitter = new TokenSplitter([token(1, "a"), token(2, "ab"), token(3, "w", { singleWord: true })]);
    expect(ids(splitter, "xabaw w_w w-é")).toEqual(["x", 2, 1, "w w_w ", 3, "-é"]);
    const strips = new TokenSplitter([
      token(1, "<l>", { lstrip: true }),
      token(2, "<r>", { rstrip: true }),
      token(3, "  ", { lstrip: true }),
    ]);
    expect(ids(strips, "a \n<l> b <r> \u0085c")).toEqual(["a", 1, " b ", 2, "c"]);
    expect(ids(strips, "<r>   c")).toEqual([2, "c"]);
  });

  test("inside ranges alone, and those that count", () => {
    const splitter = new TokenSplitter([token(1, "<a>", { special: true }), token(2, "a")]);
    expect(splitter.split("<a><a>", [[3, 6]])).toMatchObject(["<a>", { id: 1 }]);
    expect(splitter.split("<a>a", undefined, ({ special }) => !special)).toMatchObject(["<a>", { id: 2 }]);
  });
});

test("texts that are merged as a whole are cut where no piece reaches", () => {
  expect([...new SpacedWords(["▁a", "a▁"]).of("▁a▁b▁▁c")]).toEqual(["▁a▁b", "▁▁c"]);
  expect([...new SpacedWords([]).of("a")]).toEqual(["a"]);
});

test.each<[string, () => unknown, string]>([
  ["a component without a type", () => compileNormalizer({}, "f"), "FILE_INVALID"],
  ["an array for a component", () => compileNormalizer([], "f"), "FILE_INVALID"],
  ["a Sequence of nothing", () => compilePreTokenizer({ type: "Sequence" }, true, "f"), "FILE_INVALID"],
  ["null in a Sequence", () => compileNormalizer({ type: "Sequence", normalizers: [null] }, "f"), "FILE_INVALID"],
  ["a Split without a pattern", () => cut({ ...SPLIT, pattern: {} }, "a"), "FILE_INVALID"],
  ["a behaviour that is none", () => cut({ ...SPLIT, pattern: { String: "a" }, behavior: "isolated" }, "a"), "FILE_INVALID"],
  ["pieces of length 0", () => cut({ type: "FixedLength", length: 0 }, "a"), "FILE_INVALID"],
  ["a flag that is a text", () => cut({ type: "Digits", individual_digits: "no" }, "a"), "FILE_INVALID"],
  ["two signs for a space", () => cut({ type: "Metaspace", replacement: "__" }, "a"), "FILE_INVALID"],
  [
    "dialects that disagree",
    () => cut({ type: "Metaspace", replacement: "▁", add_prefix_space: false, prepend_scheme: "first" }, "a"),
    "FILE_INVALID",
  ],
  [
    "the first text behind a cut",
    () =>
      cut(
        {
          type: "Sequence",
          pretokenizers: [{ type: "WhitespaceSplit" }, { type: "Metaspace", replacement: "▁", prepend_scheme: "first" }],
        },
        "a",
      ),
    "UNSUPPORTED_TOKENIZER",
  ],
  ["a normalizer of BERT", () => compileNormalizer({ type: "BertNormalizer" }, "f"), "UNSUPPORTED_TOKENIZER"],
  ["a name of Object's", () => compileNormalizer({ type: "constructor" }, "f"), "UNSUPPORTED_TOKENIZER"],
  [
    "a decoder with a regular expression",
    () => pieceConverter({ type: "Replace", pattern: { Regex: "a" }, content: "" }, "f"),
    "UNSUPPORTED_TOKENIZER",
  ],
])("%s is refused", (_, compile, code) => {
  expect(compile).toThrow(expect.objectContaining({ code }));
});
