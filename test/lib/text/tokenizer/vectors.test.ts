import { describe, expect, test } from "vitest";
import { decodeTokens } from "../../../../lib/text/output/detokenizer.ts";
import { openCodec } from "../../../../lib/text/tokenizer/source.ts";
import { hasShared, sharedPath } from "../../../support/shared.ts";
import { tokenizerVectors } from "../../../support/tokenizer-vectors.ts";

describe.skipIf(!hasShared)("published vectors", () => {
  test.each(["gpt-2", "deepseek-llm", "falcon", "llama-spm", "phi-3"])("%s", async (name) => {
    const codec = await openCodec({ kind: "gguf", path: sharedPath("tokenizers", "vocab", `ggml-vocab-${name}.gguf`) });
    const vectors = tokenizerVectors(name);
    expect(vectors.length).toBeGreaterThan(40);
    for (const { text, ids } of vectors) {
      expect(codec.encode(text, { addSpecial: false, parseSpecial: false }), text).toEqual(ids);
      expect(await decodeTokens(codec.vocabulary, ids)).toBe(text);
    }
  });
});
