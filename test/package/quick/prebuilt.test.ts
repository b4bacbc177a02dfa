import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { GLIBC_FLOOR } from "../../../lib/package/missing.ts";
import { NODE_ENTRIES, readElf } from "../../support/elf.ts";
import { IMPORTED } from "../../support/project.ts";
import { ROOT } from "../../support/sources.ts";

const PREBUILDS = join(ROOT, "prebuilds");
const binaries = existsSync(PREBUILDS)
  ? (readdirSync(PREBUILDS, { recursive: true, encoding: "utf8" }) as string[]).filter((name) => name.endsWith(".node"))
  : [];

/** What every glibc of the time has, and nothing of libstdc++ or CUDA. */
const SYSTEM = /^(lib(c|m|pthread|dl|rt)\.so\.\d|ld-linux-.*\.so\.\d)$/;

describe("the published binaries", () => {
  it("are there for linux-x64 (npm run package:prebuilds)", () => {
    expect(binaries).toContain("linux-x64/kvasir.glibc.node");
  });

  describe.each(binaries)("%s", (name) => {
    const { libraries, symbols, exports, bindsNow, isReadOnly } = readElf(readFileSync(join(PREBUILDS, name)));
    const versions = symbols.map(({ version }) => version).filter((version) => version !== undefined);

    it("shows its entries alone, and binds once", () => {
      expect(exports.toSorted()).toEqual(NODE_ENTRIES);
      expect([bindsNow, isReadOnly]).toEqual([true, true]);
    });

    it("needs the C library alone", () => {
      expect(libraries.filter((library) => !SYSTEM.test(library))).toEqual([]);
      expect(libraries).toContain("libc.so.6");
    });

    it(`needs no glibc after ${GLIBC_FLOOR}`, () => {
      expect(versions.length).toBeGreaterThan(20);
      const floor = Number(GLIBC_FLOOR.split(".")[1]);
      expect([...new Set(versions)].filter((version) => !/^GLIBC_2\.\d+(\.\d+)?$/.test(version) || minor(version) > floor)).toEqual([]);
    });

    // They would be looked for in whatever is loaded, and a glibc of before 2.32 has no __libc_single_threaded.
    it("needs no symbol without a version but those of Node-API", () => {
      const bare = symbols.filter(({ version, weak }) => version === undefined && !weak).map(({ name }) => name);
      expect(bare.filter((name) => !name.startsWith("napi_"))).toEqual([]);
      expect(bare).toContain("napi_create_error");
    });
  });
});

// The loader and the libraries that native/sysroot.sh has unpacked, in the place of this system's.
const ROOT_OF_LIBRARIES = join(ROOT, "build/sysroot");
const LOADER = join(ROOT_OF_LIBRARIES, "lib64/ld-linux-x86-64.so.2");

describe("a system with the oldest glibc", () => {
  it.skipIf(process.arch !== "x64" || !existsSync(LOADER))("generates text", () => {
    const source = `console.log(process.report.getReport().header.glibcVersionRuntime);\n${IMPORTED}`;
    const folders = ["lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"].map((folder) => join(ROOT_OF_LIBRARIES, folder));
    const args = ["--library-path", folders.join(":"), process.execPath, "--input-type=module", "-e", source];
    const output = execFileSync(LOADER, args, { cwd: ROOT, env: { ...process.env, PREBUILDS_ONLY: "1" }, encoding: "utf8" });
    expect(output).toMatch(new RegExp(`^${GLIBC_FLOOR}\\nstory: \\w+`));
  });
});

function minor(version: string): number {
  return Number(version.split(".")[1]);
}
