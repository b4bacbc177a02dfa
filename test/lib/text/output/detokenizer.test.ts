import { expect, test } from "vitest";
import { Detokenizer, decodeTokens } from "../../../../lib/text/output/detokenizer.ts";
import { buildVocabulary, type Vocabulary } from "../../../../lib/text/tokenizer/vocabulary.ts";

const BOS = 256;
const HELLO = 257;

/** One token for each byte, BOS, and " hello". */
function vocabulary(prefixSpace: boolean): Vocabulary {
  const pieces: Uint8Array[] = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  pieces.push(Buffer.from("<s>"), Buffer.from(" hello"));
  return buildVocabulary(pieces, [BOS], {
    bosToken: BOS,
    eosToken: -1,
    endTokens: [],
    addsBos: true,
    prefixSpace,
    bosText: "<s>",
    eosText: "",
  });
}

function stream(tokens: Iterable<number>, options: { special: boolean; start: boolean }, prefixSpace = true): string[] {
  const detokenizer = new Detokenizer(vocabulary(prefixSpace), options);
  return [...Array.from(tokens, (token) => detokenizer.push(token)), detokenizer.flush()];
}

test("characters come out whole, with their last token", () => {
  expect(stream(Buffer.from("é🙂x"), { special: false, start: false })).toEqual(["", "é", "", "", "", "🙂", "x", ""]);
});

test("bytes that are no UTF-8 become U+FFFD, at the latest at the end", () => {
  expect(stream([0xff, 0x61, 0xf0, 0x9f], { special: false, start: false }).join("")).toBe("\ufffda\ufffd");
  expect(stream(Buffer.from("\ufeffx"), { special: false, start: false }).join("")).toBe("\ufeffx");
});

test("special tokens, the prefix space, ids beyond the vocabulary", () => {
  expect(stream([BOS, HELLO, HELLO], { special: false, start: true }).join("")).toBe("hello hello");
  expect(stream([BOS, HELLO], { special: true, start: true }).join("")).toBe("<s> hello");
  expect(stream([HELLO], { special: false, start: false }).join("")).toBe(" hello");
  expect(stream([HELLO], { special: false, start: true }, false).join("")).toBe(" hello");
  expect(stream([HELLO, 9999, -1], { special: false, start: false }).join("")).toBe(" hello");
});

test("a whole sequence loses the one BOS and the space that the tokenizer adds", async () => {
  expect(await decodeTokens(vocabulary(true), [BOS, HELLO])).toBe("hello");
  expect(await decodeTokens(vocabulary(true), [BOS, BOS, HELLO])).toBe("<s> hello");
  expect(await decodeTokens(vocabulary(false), Int32Array.of(HELLO, BOS))).toBe(" hello<s>");
  expect(await decodeTokens(vocabulary(true), [])).toBe("");
});
