import { existsSync, readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { hasShared, sharedPath } from "../support/shared.ts";
import { EXACT, ISAS, withEngine } from "./support/engines.ts";
import { decidedTokens, LOGIT_BOUND, readReferences, relativeError, rowsOf } from "./support/references.ts";

/** Architectures with experts, recurrent state or latent attention: refused, see test/lib/model/fixtures.test.ts. */
const LATER = /moe|deepseek|gemma4|gpt-oss|granite4|lfm2|mamba|mixtral|nemotron|qwen3-next|qwen3\.5/;
const NAMES = hasShared ? readdirSync(sharedPath("fixtures")).filter((name) => !name.endsWith(".md") && !LATER.test(name)) : ["-"];

const FORMS = NAMES.flatMap((name) => {
  const twin = [name, "model.gguf"];
  return existsSync(sharedPath("fixtures", ...twin)) ? [[name], twin] : [[name]];
});

test.skipIf(!hasShared)("33 dense fixtures, 24 of them with a GGUF twin", () => {
  expect([NAMES.length, FORMS.length]).toEqual([33, 33 + 24]);
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
        const decided = decidedTokens(rowsOf(margins!)[i]!, 1e-3);
        expect(tokens.slice(0, decided)).toEqual([...rowsOf(greedy!)[i]!.subarray(0, decided)]);
        expect(tokens).toHaveLength(24);
      }
    });
  });
});
