import { existsSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { hasShared, sharedPath } from "../support/shared.ts";
import { EXACT, ISAS, withEngine } from "./support/engines.ts";
import { decidedTokens, LOGIT_BOUND, readReferences, relativeError, rowsOf } from "./support/references.ts";

const NAMES = ["llama", "llama-bias", "llama3-rope", "llama3-rope-v4", "llama-linear", "llama-yarn", "qwen3", "gemma3", "gemma3-vl"];

const FORMS = NAMES.flatMap((name) => {
  const twin = [name, "model.gguf"];
  return existsSync(sharedPath("fixtures", ...twin)) ? [[name], twin] : [[name]];
});

describe.skipIf(!hasShared).each(ISAS)("reference fixtures, %s", (isa) => {
  test.each(FORMS.map((form) => [form.join("/"), form] as const))("%s", async (_, form) => {
    const { input_ids, logits, greedy, margins } = readReferences("fixtures", form[0]!, "reference.safetensors");
    const size = logits!.shape[1]! * logits!.shape[2]!;
    const prompts = rowsOf(input_ids!) as Int32Array[];
    await withEngine(sharedPath("fixtures", ...form), { ...EXACT, isa }, async (engine) => {
      for (const [i, prompt] of prompts.entries()) {
        const scored = await engine.score(prompt, { logits: true });
        expect(relativeError(scored.logits!, rowsOf(logits!, size)[i]!)).toBeLessThan(LOGIT_BOUND / 10);
        const { tokens } = await engine.generate(prompt, { temperature: 0, maxTokens: 24, ignoreEos: true });
        const decided = decidedTokens(rowsOf(margins!)[i]!, 1e-4);
        expect(tokens.slice(0, decided)).toEqual([...rowsOf(greedy!)[i]!.subarray(0, decided)]);
        expect(tokens).toHaveLength(24);
      }
    });
  });
});
