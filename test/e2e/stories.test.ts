import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { hasShared, sharedPath } from "../support/shared.ts";
import { EXACT, ISAS, openEngine } from "./support/engines.ts";

/** Without the file's last newline. */
const story = (): string => readFileSync(sharedPath("models", "stories260K", "expected_greedy_256.txt"), "utf8").replace(/\n$/, "");

test.skipIf(!hasShared).each(ISAS)("stories260K tells its known story, character for character (%s)", async (isa) => {
  const engine = await openEngine(sharedPath("models", "stories260K", "stories260K.gguf"), { ...EXACT, isa });
  const { text, usage, finishReason } = await engine.generate("", { temperature: 0, maxTokens: 256 });
  expect(text).toBe(story());
  expect({ usage, finishReason }).toEqual({
    usage: { promptTokens: 1, completionTokens: 256, cachedTokens: 0, totalTokens: 257, draftedTokens: 0, acceptedTokens: 0 },
    finishReason: "length",
  });
});
