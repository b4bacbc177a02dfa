import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { KvasirError } from "../../../../lib/errors.ts";
import { decodeTokens } from "../../../../lib/text/output/detokenizer.ts";
import { openCodec } from "../../../../lib/text/tokenizer/source.ts";
import { hasShared, sharedPath } from "../../../support/shared.ts";

interface PipelineCase {
  text: string;
  ids: number[];
  withSpecial: number[];
  decoded: string;
}

/** Refused at open, with what the message says. */
const REFUSED: Record<string, string> = {
  missing_bytes: "would vanish",
  llama2_nounk: "would vanish",
};

const names = hasShared ? readdirSync(sharedPath("tokenizers", "pipelines")) : [];

describe.skipIf(!hasShared)("tokenizer.json as the Rust library means it", () => {
  test.each(names.filter((name) => REFUSED[name] === undefined))("%s", async (name) => {
    const directory = sharedPath("tokenizers", "pipelines", name);
    const codec = await openCodec({ kind: "huggingface", directory });
    const cases: PipelineCase[] = JSON.parse(readFileSync(`${directory}/cases.json`, "utf8"));
    for (const { text, ids, withSpecial, decoded } of cases) {
      expect(codec.encode(text, { addSpecial: false, parseSpecial: true }), text).toEqual(ids);
      expect(codec.encode(text, { addSpecial: true, parseSpecial: true }), text).toEqual(withSpecial);
      expect(await decodeTokens(codec.vocabulary, ids), text).toBe(decoded);
    }
  });

  test.each(Object.keys(REFUSED))("%s is refused", async (name) => {
    const opened = openCodec({ kind: "huggingface", directory: sharedPath("tokenizers", "pipelines", name) });
    await expect(opened).rejects.toSatisfy((error) => error instanceof KvasirError && error.message.includes(REFUSED[name]!));
  });
});
