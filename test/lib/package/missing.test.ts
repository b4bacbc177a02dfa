import { describe, expect, it } from "vitest";
import { type Host, hostOf, whyMissing } from "../../../lib/package/missing.ts";

const NONE = "No native build was found for platform=linux\n    loaded from: /package\n";
const LINUX: Host = { platform: "linux", arch: "x64", glibc: "2.36" };

describe("why there is no addon", () => {
  const cases: [string, Host, string, RegExp][] = [
    [
      "macOS",
      { platform: "darwin", arch: "arm64", glibc: undefined },
      NONE,
      /^kvasir has no binary for darwin-arm64; expected linux-x64 .*container/,
    ],
    ["Windows", { platform: "win32", arch: "x64", glibc: undefined }, NONE, /^kvasir has no binary for win32-x64; expected linux-x64/],
    ["arm64", { ...LINUX, arch: "arm64" }, NONE, /^kvasir has no binary for linux-arm64; expected linux-x64/],
    ["musl", { ...LINUX, glibc: undefined }, NONE, /^the C library is musl or unknown; expected .* glibc 2\.31 or later.*node:22-slim/],
    ["an old glibc", { ...LINUX, glibc: "2.28" }, "version `GLIBC_2.29' not found", /^glibc is 2\.28; expected .* glibc 2\.31 or later/],
    [
      "a clone",
      LINUX,
      NONE,
      /No native build was found for platform=linux, loaded from: \/package\)\. In a clone, npm run setup builds it/,
    ],
    ["a broken file", LINUX, "file too short", /can't be loaded \(file too short\)/],
    [
      "a build of one's own",
      { platform: "darwin", arch: "arm64", glibc: undefined },
      "symbol not found",
      /can't be loaded \(symbol not found\)/,
    ],
  ];

  it.each(cases)("%s", (_, host, reason, message) => {
    const text = whyMissing(host, reason);
    expect(text).toMatch(message);
    expect(text).not.toContain("\n");
  });

  it("looks up no names of sockets for it, and leaves reports as they were", () => {
    const during: boolean[] = [];
    const report = {
      excludeNetwork: false,
      getReport() {
        during.push(report.excludeNetwork);
        return { header: { glibcVersionRuntime: "2.36" } };
      },
    };
    const host = hostOf({ platform: "linux", arch: "x64", report } as unknown as NodeJS.Process);
    expect([host, during, report.excludeNetwork]).toEqual([LINUX, [true], false]);
    expect(process.report).toHaveProperty("excludeNetwork", false); // Node has it by this name
  });

  it("knows this host", () => {
    const { platform, arch, glibc } = hostOf(process);
    expect({ platform, arch }).toEqual({ platform: process.platform, arch: process.arch });
    if (platform === "linux") expect(glibc ?? "2.0").toMatch(/^2\.\d+$/);
  });
});
