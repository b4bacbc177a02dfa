import { beforeAll, describe, expect, it } from "vitest";
import { CONSUMER, Project, pack, readmeExamples, strictSettings } from "../../support/project.ts";
import { temporaryDirectory } from "../../support/temporary.ts";
import { tool } from "../../support/tools.ts";

const tarballs = temporaryDirectory();
const project = new Project(temporaryDirectory());
beforeAll(() => {
  project.install(pack(tarballs).path, "@types/node@20.19.43");
  project.write("consumer.ts", CONSUMER);
  readmeExamples().forEach((code, i) => {
    project.write(`example${i}.ts`, code);
  });
}, 300_000);

describe.each(["5.6", "5.9", "6.0", "7.0"])("TypeScript %s", (version) => {
  it.each(["nodenext", "bundler"] as const)("compiles a strict consumer and the README's examples: %s", (resolution) => {
    project.write("tsconfig.json", strictSettings(resolution));
    const { status, stdout, stderr } = project.run(process.execPath, tool(`typescript-${version}/bin/tsc`), "-p", project.folder);
    expect(stdout + stderr).toBe("");
    expect(status).toBe(0);
  });
});
