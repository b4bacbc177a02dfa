import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { ROOT } from "./support/sources.ts";

/** What CMake says of a list of CUDA architectures. */
function refusalOf(list: string): string {
  const { status, stderr } = spawnSync("cmake", [`-DCMAKE_CUDA_ARCHITECTURES=${list}`, "-P", "native/cuda/architectures.cmake"], {
    cwd: ROOT,
    encoding: "utf8",
  });
  return status === 0 ? "" : stderr.replace(/\s+/g, " ");
}

test.each([
  "80-real;86-real;89-real;90a-real;90-virtual", // the default
  "90a-real",
  "90a",
  "86-real",
  "80-real;100-real",
  "80;90a",
  "100",
  "120-virtual",
])("CUDA architectures %s are right for every device that takes their code", (list) => {
  expect(refusalOf(list)).toBe("");
});

test.each([
  ["90", "90; expected 90a"],
  ["90-real", "90-real; expected 90a"],
  ["90a-real;90-real", "90-real; expected 90a"],
  ["90-virtual", "90-virtual, whose PTX Hopper would run; expected 90a-real"],
  ["80", "80, whose PTX Hopper would run"],
  ["86-real;80-virtual", "80-virtual, whose PTX Hopper would run"],
  ["native", "native; expected numbers"],
  ["all", "all; expected numbers"],
])("CUDA architectures %s are refused: Hopper would be given code without its kernels", (list, reason) => {
  expect(refusalOf(list)).toContain(reason);
});
