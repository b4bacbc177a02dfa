import { symlinkSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { Project, pack, STORY } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { tool } from "../../support/tools.ts";

const tarballs = temporaryDirectory();
const project = new Project(temporaryDirectory());
beforeAll(() => {
  project.install(pack(tarballs).path);
  for (const name of ["vitest", "vite"]) symlinkSync(tool(name), join(project.folder, "node_modules", name));
}, 300_000);

/** The ten lines as a test of the runner's, and what kvasir does with what another realm made: arrays, signals, errors. */
const TEST = `import { Engine } from "kvasir";
test("kvasir", async () => {
${STORY.replace('console.log("story:" + text);', "expect(text).toMatch(/^ \\w+/);")}
});
test("arguments and errors", async () => {
  const engine = await Engine.open("tales");
  const tokens = await engine.tokenize("Once upon a time");
  const { logprobs } = await engine.score(tokens);
  expect(logprobs.length).toBe(tokens.length);
  const { usage } = await engine.generate([...tokens], { maxTokens: 4, logitsProcessor: (logits) => new Float32Array(logits) });
  expect(usage.completionTokens).toBe(4);
  await expect(engine.generate("x", { signal: AbortSignal.abort() })).rejects.toThrow(/abort/);
  await expect(engine.generate("x", { topP: 2 })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  await engine.close();
}, 60_000);
`;

describe("test runners", () => {
  it("vitest, pool vmThreads", () => {
    project.write("story.test.mjs", `import { expect, test } from "vitest";\n${TEST}`);
    const flags = ["run", "--pool=vmThreads", "--reporter=default", "story.test.mjs"];
    const { status, stdout, stderr } = project.run(process.execPath, tool("vitest/vitest.mjs"), ...flags);
    expect(status, stdout + stderr).toBe(0);
    expect(stdout).toMatch(/2 passed/);
  });

  it("jest, modules of ECMAScript", () => {
    project.write(
      "jest.config.json",
      '{ "transform": {}, "testMatch": ["**/story.jest.mjs"], "moduleFileExtensions": ["mjs", "js", "json"] }',
    );
    project.write("story.jest.mjs", `import { expect, test } from "@jest/globals";\n${TEST}`);
    const flags = ["--experimental-vm-modules", tool("jest/bin/jest.js"), "--rootDir", project.folder];
    const { status, stdout, stderr } = project.run(process.execPath, ...flags);
    expect(status, stdout + stderr).toBe(0);
    expect(stderr).toMatch(/2 passed/);
  });
});
