import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** What this machine can do at most, measured now: ceilings.cc is compiled for it and run.
 *
 * @returns {{ readGBs: number, fmaGops: number, bf16Gops: number, int8Gops: number, amxInt8Gops: number, amxBf16Gops: number }} 0: no such instruction */
export function measureCeilings(threads) {
  const folder = mkdtempSync(join(tmpdir(), "kvasir-ceilings-"));
  try {
    const program = join(folder, "ceilings");
    execFileSync("g++", [
      "-O3",
      "-march=native",
      "-std=c++20",
      "-pthread",
      fileURLToPath(new URL("ceilings.cc", import.meta.url)),
      "-o",
      program,
    ]);
    return JSON.parse(execFileSync(program, [String(threads)], { encoding: "utf8" }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
