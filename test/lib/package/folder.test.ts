import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it } from "vitest";
import { packageFolder } from "../../../lib/package/folder.ts";
import { ROOT } from "../../support/sources.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

describe("the package's folder", () => {
  const elsewhere = temporaryDirectory();

  it("is where package.json has its name", () => {
    expect(join(packageFolder(), "/")).toBe(ROOT);
  });

  it.each([
    ["no package.json", undefined],
    ["a package.json of an application", '{ "name": "application" }'],
    ["a package.json without a name", "{}"],
  ])("is not there for a bundle: %s", (_, manifest) => {
    if (manifest !== undefined) writeFileSync(join(elsewhere, "package.json"), manifest);
    const bundle = join(elsewhere, "out/server/main.js");
    expect(() => packageFolder(pathToFileURL(bundle).href)).toThrow(
      expect.objectContaining({ code: "ADDON_MISSING", message: expect.stringContaining(`bundled into ${bundle}; expected`) }),
    );
  });
});
