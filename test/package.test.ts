import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { filesBelow, importsOf, ROOT, read } from "./support/sources.ts";

const PACKAGE = JSON.parse(read("package.json"));

const LOCKS = ["package-lock.json", ...["bench", "test"].flatMap((folder) => filesBelow(folder, "package-lock.json"))];

/** Standard output of Node in the root, where the package finds itself by its name. */
function node(...args: string[]): string {
  return execFileSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
}

describe("package.json", () => {
  it("runs nothing at install", () => {
    const hooks = ["preinstall", "install", "postinstall", "prepare", "preprepare", "postprepare"];
    expect(hooks.filter((name) => name in PACKAGE.scripts)).toEqual([]);
    expect(PACKAGE.gypfile).toBe(false);
    // npm runs node-gyp where this file is, whatever the scripts say.
    expect(existsSync(join(ROOT, "binding.gyp"))).toBe(false);
  });

  it("has no script that npm runs before or after another by its name", () => {
    const names = Object.keys(PACKAGE.scripts);
    expect(names.filter((name) => names.some((other) => name === `pre${other}` || name === `post${other}`))).toEqual([]);
  });

  it("is installed on any system: what lacks a binary is told by Engine.open", () => {
    for (const field of ["os", "cpu", "libc"]) expect(PACKAGE).not.toHaveProperty(field);
  });

  it("says where it comes from", () => {
    const { repository, homepage, bugs, author, description, keywords } = PACKAGE;
    const project = repository.url.replace(/^git\+|\.git$/g, "");
    expect([homepage, bugs.url]).toEqual([`${project}#readme`, `${project}/issues`]);
    for (const text of [author, description, ...keywords]) expect(text).toMatch(/\w/);
  });

  it("names exact versions, and three dependencies", () => {
    for (const [name, version] of Object.entries({ ...PACKAGE.dependencies, ...PACKAGE.devDependencies })) {
      expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
    }
    expect(Object.keys(PACKAGE.dependencies)).toEqual(["@huggingface/tokenizers", "node-gyp-build"]);
  });

  it("has every package that lib imports among its dependencies", () => {
    const names = new Set(filesBelow("lib", ".ts").flatMap(importsOf));
    if (/require\("node-gyp-build"\)/.test(read("lib/native/addon.ts"))) names.add("node-gyp-build");
    for (const name of names) if (name.startsWith("node:") || name.startsWith("lib/")) names.delete(name);
    expect([...names].sort()).toEqual(Object.keys(PACKAGE.dependencies).sort());
  });

  it("builds against Node's headers from a package", () => {
    expect(PACKAGE.binary).toEqual({ napi_versions: [8] });
  });
});

describe.each(LOCKS)("%s", (path) => {
  const packages: Record<string, { optionalDependencies?: Record<string, string>; resolved?: string }> = JSON.parse(read(path)).packages;

  // npm 11 refuses a lock that lacks what is left out on this platform.
  it("has all packages that another may ask for", () => {
    const asked = Object.values(packages).flatMap(({ optionalDependencies = {} }) => Object.keys(optionalDependencies));
    const found = new Set(Object.keys(packages).map((folder) => folder.split("node_modules/").at(-1)));
    expect(asked.filter((name) => !found.has(name))).toEqual([]);
  });

  it("names no registry", () => {
    expect(Object.values(packages).filter(({ resolved }) => resolved !== undefined)).toEqual([]);
  });
});

describe("the built package", () => {
  const names = "import('kvasir').then((kvasir) => console.log(Object.keys(kvasir).sort().join()))";

  it("has the files that package.json points to", () => {
    const paths = [PACKAGE.main, PACKAGE.types, ...Object.values(PACKAGE.bin), ...Object.values(PACKAGE.exports["."])];
    for (const path of [...paths, "LICENSE", "README.md", "models/LICENSES.md", "models/tales-q4_0.gguf"]) {
      expect(existsSync(join(ROOT, path as string)), path as string).toBe(true);
    }
  });

  it("is imported and required alike", () => {
    expect(node("-e", names).trim()).toBe("ERROR_CODES,Engine,KvasirError,Tokenizer");
    // Fails where a module awaits at its top level.
    expect(node("-p", "Object.keys(require('kvasir')).filter((name) => name !== '__esModule').sort().join()").trim()).toBe(
      "ERROR_CODES,Engine,KvasirError,Tokenizer",
    );
  });

  it("loads no addon and starts nothing when imported", () => {
    const probe =
      "import('kvasir').then(() => console.log(process.report.getReport().sharedObjects.filter((p) => p.endsWith('.node')).length))";
    expect(node("-e", probe).trim()).toBe("0");
  });

  it("has a command for the shell", () => {
    const path = PACKAGE.bin.kvasir;
    expect(read(path).split("\n")[0]).toBe("#!/usr/bin/env node");
    expect(node(join(ROOT, path), "--help")).toContain("kvasir run");
  });
});

describe("README.md", () => {
  const examples = [...read("README.md").matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code!);

  it("has the ten-line example", () => {
    expect(examples[0]!.trim().split("\n").length).toBeLessThanOrEqual(10);
  });

  it.each(examples)("has an example that runs: %s", (code) => {
    const output = node("--input-type=module", "-e", code);
    expect(output.length).toBeGreaterThan(100);
    expect(output.trimEnd().split("\n").at(-1)).toMatch(
      /^\d+ tokens, \d+ tokens\/s$|^\[(stop|length), first token after \d+ ms\]$|^\d+ tokens$/,
    );
  });
});
