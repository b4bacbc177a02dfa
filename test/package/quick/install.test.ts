import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import {
  CONSUMER,
  IMPORTED,
  IN_WORKER,
  type Packed,
  Project,
  pack,
  REQUIRED,
  readmeExamples,
  STORY,
  strictSettings,
} from "../../support/project.ts";
import { ROOT, read } from "../../support/sources.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const TOOLS = join(ROOT, "test/package/quick/node_modules");

const tarballs = temporaryDirectory();
const project = new Project(temporaryDirectory());
const withoutBinary = new Project(temporaryDirectory());

let packed: Packed;
beforeAll(() => {
  packed = pack(tarballs);
  project.install(packed.path, "@types/node@20.19.43");
}, 300_000);

describe("the tarball", () => {
  it("has code with its sources, the binary, what builds one, the bundled model, and nothing else", () => {
    const paths = packed.files.map(({ path }) => path);
    const expected = ["LICENSE", "README.md", "CHANGELOG.md", "dist/index.js", "dist/index.js.map", "dist/index.d.ts", "lib/index.ts"];
    expected.push("dist/cli/main.js", "models/tales-q4_0.gguf", "models/LICENSES.md", "prebuilds/linux-x64/kvasir.glibc.node");
    expected.push("CMakeLists.txt", "native/addon/addon.cc");
    expect(paths).toEqual(expect.arrayContaining(expected));
    const known =
      /^((dist|lib|native|prebuilds|models)\/.*|bench\/(README\.md|cpu\.svg|figures\.svg)|CMakeLists\.txt|LICENSE|[A-Z]+\.md|(package|tsconfig(\.build)?)\.json)$/;
    expect(paths.filter((path) => !known.test(path))).toEqual([]);
    expect(paths.filter((path) => /^dist\/.*\.js$/.test(path) && !paths.includes(path.replace(/^dist(.*)js$/, "lib$1ts")))).toEqual([]);
  });

  it("has 16 MB at most, with the CUDA back end 80 MB, and 200 MB unpacked", () => {
    const hasCuda = readFileSync(join(ROOT, "prebuilds/linux-x64/kvasir.glibc.node")).includes("nv_fatbin");
    expect(packed.size).toBeLessThanOrEqual(hasCuda ? 80e6 : 16e6);
    expect(packed.unpackedSize).toBeLessThanOrEqual(200e6);
  });

  it("has every file and folder that its README links to", () => {
    const paths = packed.files.map(({ path }) => path);
    const links = [...read("README.md").matchAll(/\]\(([^)#:]+)(#[^)]*)?\)/g)].map(([, link]) => link!);
    expect(links.length).toBeGreaterThan(3);
    const isThere = (link: string): boolean => paths.some((path) => path === link || path.startsWith(`${link}/`));
    expect(links.filter((link) => !isThere(link))).toEqual([]);
  });

  it("isn't made without a binary", () => {
    for (const name of ["package.json", "native/check-prebuilds.sh"]) {
      mkdirSync(dirname(join(withoutBinary.folder, name)), { recursive: true });
      copyFileSync(join(ROOT, name), join(withoutBinary.folder, name));
    }
    const { status, stderr } = withoutBinary.run("npm", "pack");
    expect(status).not.toBe(0);
    expect(stderr).toContain("prebuilds/linux-x64/kvasir.glibc.node is missing; expected what 'npm run package:prebuilds' makes");
  });

  it("passes publint", () => {
    const { status, stdout, stderr } = project.run(process.execPath, join(TOOLS, "publint/src/cli.js"), packed.path, "--strict");
    expect(status, stdout + stderr).toBe(0);
  });

  it("passes are-the-types-wrong", () => {
    const cli = join(TOOLS, "@arethetypeswrong/cli/dist/index.js");
    const { status, stdout, stderr } = project.run(process.execPath, cli, packed.path, "--profile", "esm-only");
    expect(status, stdout + stderr).toBe(0);
  });
});

describe("in an empty project, installed without scripts", () => {
  it.each([
    ["import", () => project.module(IMPORTED)],
    ["require", () => project.script(REQUIRED)],
    ["a worker thread", () => project.module(IN_WORKER)],
  ])("ten lines generate text: %s", (_, run) => {
    const { status, stdout, stderr } = run();
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/^story: \w+/);
    expect(STORY.split("\n").length).toBeLessThan(10);
  });

  it("has a command", () => {
    const { status, stdout, stderr } = project.run("npx", "kvasir", "run", "Once upon a time", "--max-tokens", "8");
    expect(status, stderr).toBe(0);
    expect(stdout).toMatch(/\w+/);
  });

  it.each(["nodenext", "bundler"] as const)("compiles a strict consumer and the README's examples: %s", (resolution) => {
    project.write("tsconfig.json", strictSettings(resolution));
    project.write("consumer.ts", CONSUMER);
    readmeExamples().forEach((code, i) => {
      project.write(`example${i}.ts`, code);
    });
    const { status, stdout } = project.run(process.execPath, join(TOOLS, "typescript/bin/tsc"), "-p", project.folder);
    expect(stdout).toBe("");
    expect(status).toBe(0);
  });
});
