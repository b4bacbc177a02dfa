import { beforeAll, describe, expect, it } from "vitest";
import { IMPORTED, Project, pack } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { tool } from "../../support/tools.ts";

const tarballs = temporaryDirectory();
const project = new Project(temporaryDirectory());
beforeAll(() => project.install(pack(tarballs).path), 300_000);

/** Bundles the ten lines as a file that is run in a folder of its own. */
function bundled(format: "esm" | "cjs", ...flags: string[]): ReturnType<Project["run"]> {
  // CommonJS has no `await` at the top.
  const [first, ...rest] = IMPORTED.split("\n");
  const source = `${first}\nasync function main() {\n${rest.join("\n")}\n}\nmain().catch((error) => { console.error(error.code + " " + error.message); process.exit(1); });`;
  const output = `out/server.${format === "esm" ? "mjs" : "cjs"}`;
  const settings = ["--bundle", "--platform=node", "--log-level=error", `--format=${format}`, `--outfile=${output}`];
  const made = project.run(tool("esbuild/bin/esbuild"), project.write("main.mjs", source), ...settings, ...flags);
  expect(made.status, made.stderr).toBe(0);
  return project.run(process.execPath, output);
}

describe.each(["esm", "cjs"] as const)("esbuild, %s", (format) => {
  it("runs with kvasir left external", () => {
    const { status, stdout, stderr } = bundled(format, "--external:kvasir");
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^story: \w+/);
  });

  it("says that kvasir was bundled", () => {
    const { status, stderr } = bundled(format);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^ADDON_MISSING kvasir was bundled into .*; expected its own package.* leave kvasir external/m);
  });
});
