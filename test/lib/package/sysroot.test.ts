import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { ROOT } from "../../support/sources.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

describe("native/sysroot.sh, where something is missing, says what helps", () => {
  const clone = temporaryDirectory();
  const bin = join(clone, "bin");

  beforeAll(() => {
    for (const folder of ["bin", "native"]) mkdirSync(join(clone, folder));
    copyFileSync(join(ROOT, "native/sysroot.sh"), join(clone, "native/sysroot.sh"));
    const dirname = execFileSync("/bin/sh", ["-c", "command -v dirname"], { encoding: "utf8" }).trim();
    symlinkSync(dirname, join(bin, "dirname"));
  });

  function run(env: NodeJS.ProcessEnv = {}): { status: number; stderr: string } {
    try {
      execFileSync("/bin/bash", [join(clone, "native/sysroot.sh")], { env: { PATH: bin, ...env }, stdio: "pipe", encoding: "utf8" });
      return { status: 0, stderr: "" };
    } catch (error) {
      return error as { status: number; stderr: string };
    }
  }

  it.each(["apt-get", "dpkg-deb"])("%s", (tool) => {
    const { status, stderr } = run();
    expect([status, stderr]).toEqual([
      1,
      expect.stringMatching(new RegExp(`^sysroot.sh: ${tool} is missing; expected .*Fedora: dnf install .*npm run build.*\n$`)),
    ]);
    writeFileSync(join(bin, tool), "#!/bin/sh\nexit 1\n");
    chmodSync(join(bin, tool), 0o755);
  });

  it("Debian's keys", () => {
    const keyring = join(clone, "absent.gpg");
    const { status, stderr } = run({ KVASIR_DEBIAN_KEYRING: keyring });
    expect([status, stderr]).toEqual([
      1,
      expect.stringContaining(
        `sysroot.sh: ${keyring} is missing; expected Debian's keys (Ubuntu: apt-get install debian-archive-keyring; Fedora: dnf install debian-keyring)`,
      ),
    ]);
    expect(stderr).toMatch(/npm run build makes an addon for this system.*\n$/);
  });
});
