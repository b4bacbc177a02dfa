import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { toByteLevel } from "../../../../lib/text/tokenizer/byte-level.ts";
import { GGUF_PRE_TOKENIZERS } from "../../../../lib/text/tokenizer/gguf-pre-tokenizers.ts";
import { compilePreTokenizer } from "../../../../lib/text/tokenizer/pre-tokenizers.ts";

interface ReferenceRule {
  names: string[];
  ignoresMerges?: boolean;
  addsBos?: boolean;
  /** Of each text; a space between words, whose bytes are characters that stand for them. */
  words: string[];
}

/** Made by the Rust library from the models' own pre-tokenizers, which the file has, too; its "about" says how. */
const { texts, rules }: { texts: string[]; rules: ReferenceRule[] } = JSON.parse(
  readFileSync(new URL("./gguf-pre-tokenizers.json", import.meta.url), "utf8"),
);

function cut(name: string, text: string): string[] {
  const { cut, bytesLast } = compilePreTokenizer(GGUF_PRE_TOKENIZERS.get(name)!.split, true, "test");
  const words = cut(text, true, 2 ** 23);
  return bytesLast ? words.map(toByteLevel) : words;
}

describe("pre-tokenizers of GGUF", () => {
  test("are those that have a reference", () => {
    expect([...GGUF_PRE_TOKENIZERS.keys()].sort()).toEqual(rules.flatMap(({ names }) => names).sort());
  });

  const named = rules.flatMap((rule) => rule.names.map((name): [string, ReferenceRule] => [name, rule]));
  test.each(named)("%s", (name, { ignoresMerges = false, addsBos = false, words }) => {
    expect(GGUF_PRE_TOKENIZERS.get(name)).toMatchObject({ ignoresMerges, addsBos });
    texts.forEach((text, i) => {
      expect(cut(name, text).join(" "), JSON.stringify(text)).toBe(words[i]);
    });
  });

  // Where time grew with the square of the length, each of these would take a minute.
  test.each(rules.map(({ names }) => names[0]!))("%s takes a hundred thousand of anything", (name) => {
    for (const unit of [" ", "\n", "0", "a", "A", "中", "ก", "!", "'", "½", "\u0301"]) {
      for (const end of ["", "1", "a", "ก", "!"]) {
        const start = performance.now();
        cut(name, unit.repeat(100_000) + end);
        expect(performance.now() - start, JSON.stringify([unit, end])).toBeLessThan(2000);
      }
    }
  });
});
