import { beforeAll, describe, expect, it } from "vitest";
import { IMPORTED, IN_WORKER, Project, pack, REQUIRED } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { tool } from "../../support/tools.ts";

const tarballs = temporaryDirectory();
const project = new Project(temporaryDirectory());
beforeAll(() => project.install(pack(tarballs).path), 300_000);

describe.each(["node-20", "node-22", "node-24", "node-26"])("%s", (name) => {
  const node = tool(`${name}/bin/node`);

  it.each([
    ["import", () => project.module(IMPORTED, node)],
    ["require", () => project.script(REQUIRED, node)],
    ["a worker thread", () => project.module(IN_WORKER, node)],
  ])("generates text: %s", (_, run) => {
    const { status, stdout, stderr } = run();
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^story: \w+/);
    expect(stderr).toBe("");
  });
});

it("an older Node is told the version that it needs", () => {
  const node = tool("node-18/bin/node");
  const imported = project.module(IMPORTED, node);
  expect(imported.status).toBe(1);
  expect(imported.stderr).toContain("Error: kvasir: Node.js is 18.20.8; expected 20.19 or later");
  const command = project.run(node, "node_modules/kvasir/dist/cli/main.js", "--version");
  expect(command.stderr).toContain("Error: kvasir: Node.js is 18.20.8; expected 20.19 or later");
});
