import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { render } from "../../../support/jinja.ts";
import { hasShared, sharedPath } from "../../../support/shared.ts";

interface Expressions {
  variables: Record<string, unknown>;
  cases: { template: string; text?: string; error?: string }[];
}

const { variables, cases }: Expressions = hasShared
  ? JSON.parse(readFileSync(sharedPath("tokenizers", "jinja", "expressions.json"), "utf8"))
  : { variables: {}, cases: [] };

describe.skipIf(!hasShared)("what jinja2 makes of expressions", () => {
  test.each(cases.filter(({ text }) => text !== undefined))("$template", ({ template, text }) => {
    expect(render(template, variables)).toBe(text);
  });

  test.each(cases.filter(({ error }) => error !== undefined))("$template fails", ({ template }) => {
    expect(() => render(template, variables)).toThrow();
  });
});
