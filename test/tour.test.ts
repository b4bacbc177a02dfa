import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { functionsOf, ROOT, read } from "./support/sources.ts";

/** Every `file: function` between backquotes. */
function stops(document: string): { file: string; name: string }[] {
  return [...read(document).matchAll(/`([\w./-]+\.(?:ts|cc|h)): ([\w.:#~]+)`/g)].map(([, file, name]) => ({ file: file!, name: name! }));
}

/** Every path between backquotes: what has a slash, and an ending or a final slash. */
function paths(document: string): string[] {
  const quoted = [...read(document).matchAll(/`([\w.-]+\/[\w./-]*)`/g)].map(([, path]) => path!);
  return quoted.filter((path) => path.endsWith("/") || /\.\w+$/.test(path));
}

const TOUR = stops("TOUR.md");

describe("TOUR.md", () => {
  it("names the stops of a token in both languages", () => {
    expect(TOUR.filter(({ file }) => file.startsWith("lib/")).length).toBeGreaterThan(15);
    expect(TOUR.filter(({ file }) => file.startsWith("native/")).length).toBeGreaterThan(15);
  });

  it.each(TOUR)("$file: $name exists", ({ file, name }) => {
    expect(existsSync(join(ROOT, file)), file).toBe(true);
    expect(functionsOf(file).map((found) => found.name)).toContain(name);
  });

  it("fits in ten minutes' reading", () => {
    expect(read("TOUR.md").split("\n").length).toBeLessThanOrEqual(200);
    expect(read("README.md").split("\n").length).toBeLessThanOrEqual(163);
    expect(read("CONTRIBUTING.md").split("\n").length).toBeLessThanOrEqual(120);
  });
});

describe.each(["README.md", "TOUR.md", "CONTRIBUTING.md"])("%s", (document) => {
  it("names only files that exist", () => {
    const later = /cuda|NAME|^(docs|dist|build|prebuilds|\.cache)\//;
    expect(paths(document).filter((path) => !later.test(path) && !existsSync(join(ROOT, path)))).toEqual([]);
  });

  it("names only npm scripts that exist", () => {
    const scripts = Object.keys(JSON.parse(read("package.json")).scripts);
    const named = [...read(document).matchAll(/npm run ([\w:-]+)/g)].map(([, name]) => name!);
    expect(named.filter((name) => !scripts.includes(name))).toEqual([]);
  });
});
