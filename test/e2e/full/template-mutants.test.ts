import { readFileSync } from "node:fs";
import { test } from "vitest";
import { hasShared, sharedPath } from "../../support/shared.ts";
import { CHATS, expectHarmlessTemplates } from "../../support/template-mutants.ts";

const COUNT = 2000;

test.skipIf(!hasShared)(`${COUNT} mutants of published templates render or fail by a typed error`, () => {
  const { templates } = JSON.parse(readFileSync(sharedPath("tokenizers", "chat-templates", "matrix.json"), "utf8")) as {
    templates: Record<string, { template: string }>;
  };
  const sources = Object.values(templates).map(({ template }) => template);
  const seeds = Array.from({ length: COUNT }, (_, i) => 10_000 + i);
  console.info(`${COUNT} mutants of templates: ${expectHarmlessTemplates(sources, CHATS, seeds)}`);
});
