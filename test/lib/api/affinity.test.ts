import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { EngineStats } from "../../../lib/api/stats.ts";
import { ROOT } from "../../support/sources.ts";

const hasTaskset = process.platform === "linux" && spawnSync("taskset", ["--version"]).status === 0;

/** What a process prints that may run on one processor, the first of those that this one may. */
function onOne(...args: string[]): string {
  const first = /^Cpus_allowed_list:\s*(\d+)/m.exec(readFileSync("/proc/self/status", "utf8"))![1]!;
  return execFileSync("taskset", ["-c", first, process.execPath, ...args], { cwd: ROOT, encoding: "utf8", timeout: 100_000 });
}

describe.skipIf(!hasTaskset)("a process that may run on one processor", () => {
  const statsOf = (options: string): Pick<EngineStats, "threads" | "threadsRequested"> & { made: number } =>
    JSON.parse(
      onOne(
        "--input-type=module",
        "-e",
        `import { readdirSync } from "node:fs";
         import { Engine } from "./dist/index.js";
         const before = readdirSync("/proc/self/task").length;
         const engine = await Engine.open("tales", ${options});
         const { threads, threadsRequested } = engine.stats();
         const made = readdirSync("/proc/self/task").length - before;
         await engine.close();
         console.log(JSON.stringify({ threads, threadsRequested, made }));`,
      ),
    );

  it("has one thread that computes, whatever is asked for, and says both", () => {
    const { made, ...stats } = statsOf('{ device: "cpu", threads: 64 }');
    expect(stats).toEqual({ threads: 1, threadsRequested: 64 });
    expect(made).toBeLessThan(32);
  });

  it("unasked, too", () => expect(statsOf('{ device: "cpu" }')).toMatchObject({ threads: 1 }));

  it("and doctor says so", () => {
    const { findings } = JSON.parse(onOne("dist/cli/main.js", "doctor", "--json"));
    const { facts } = findings.find(({ name }: { name: string }) => name === "processor");
    expect(facts).toMatchObject({ threads: 1, usualThreads: 1, parallelism: { allowed: 1, cores: 1 } });
  });
});
