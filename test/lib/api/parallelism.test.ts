import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { cpuQuota } from "../../../lib/api/cpu-quota.ts";
import { mostThreads, parallelism } from "../../../lib/api/parallelism.ts";
import { temporaryDirectory } from "../../support/temporary.ts";

const scratch = temporaryDirectory();
let count = 0;

/** A folder in the place of `/`, with these files. */
function system(files: Record<string, string>): string {
  const root = join(scratch, String(count++));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), `${text}\n`);
  }
  return root;
}

describe("the quota of control groups", () => {
  const V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate";
  const V1 = "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid - cgroup cgroup rw,cpu,cpuacct";
  const V1_MEMORY = "32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory";
  const quota = (mounts: string[], groups: string[], limits: Record<string, string>) => {
    const files = Object.entries(limits).map(([path, text]) => [`sys/fs/cgroup/${path}`, text]);
    return cpuQuota(
      system({
        "proc/self/mountinfo": ["22 1 0:21 / / rw - ext4 /dev/root rw", ...mounts].join("\n"),
        "proc/self/cgroup": groups.join("\n"),
        ...Object.fromEntries(files),
      }),
    );
  };
  const inV1 = (folder: string, limit: number) => ({
    [`cpu,cpuacct/${folder}cpu.cfs_quota_us`]: String(limit),
    [`cpu,cpuacct/${folder}cpu.cfs_period_us`]: "100000",
  });

  it.each<[string, string[], string[], Record<string, string>, number | undefined]>([
    ["nothing is known", [], [], {}, undefined],
    ["version 2, of a container", [V2], ["0::/"], { "cpu.max": "150000 100000" }, 1.5],
    ["version 2 without a limit", [V2], ["0::/"], { "cpu.max": "max 100000" }, undefined],
    ["the root group has no file", [V2], ["0::/a.slice"], { "a.slice/cpu.max": "20000 100000" }, 0.2],
    ["a group above has less", [V2], ["0::/a/b"], { "a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000" }, 3],
    ["a group beside has less", [V2], ["0::/a/b"], { "a/c/cpu.max": "1000 100000", "a/cpu.max": "300000 100000" }, 3],
    ["another period", [V2], ["0::/"], { "cpu.max": "25000 10000" }, 2.5],
    ["version 1", [V1_MEMORY, V1], ["5:memory:/a", "4:cpu,cpuacct:/a"], { ...inV1("", -1), ...inV1("a/", 250000) }, 2.5],
    ["version 1 without a limit", [V1], ["4:cpu,cpuacct:/"], inV1("", -1), undefined],
    ["version 1, its group outside of the container's view", [V1], ["4:cpu,cpuacct:/../../docker/1"], inV1("", 50000), 0.5],
    [
      "both, the processors in version 1",
      [V1, V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ")],
      ["4:cpu,cpuacct:/", "0::/"],
      inV1("", 400000),
      4,
    ],
    ["cpuset is another controller", [V1], ["4:cpuset:/a"], inV1("a/", 50000), undefined],
    ["what is no number", [V2], ["0::/"], { "cpu.max": "many 0" }, undefined],
    ["no time at all", [V2], ["0::/"], { "cpu.max": "0 0" }, undefined],
  ])("%s", (_, mounts, groups, limits, expected) => expect(quota(mounts, groups, limits)).toBe(expected));

  it("of a group that is mounted as the root", () => {
    const docker = V1.replace(" / ", " /docker/1 ");
    expect(quota([docker], ["4:cpu,cpuacct:/docker/1"], inV1("", 50000))).toBe(0.5);
    expect(quota([docker], ["4:cpu,cpuacct:/docker/1/inner"], { ...inV1("", 50000), ...inV1("inner/", 10000) })).toBe(0.1);
    expect(quota([docker], ["4:cpu,cpuacct:/docker/12"], inV1("", 50000))).toBe(0.5);
  });
});

describe("processors", () => {
  const CPUS = "sys/devices/system/cpu";
  const status = (list: string) => ({
    "proc/thread-self/status": `Name:\tnode\nCpus_allowed:\tff\nCpus_allowed_list:\t${list}\nMems_allowed:\t1`,
  });
  /** Two threads a core: 0 and 8, 1 and 9, and so on. */
  const siblings = Object.fromEntries(
    Array.from({ length: 16 }, (_, i) => [`${CPUS}/cpu${i}/topology/thread_siblings_list`, `${i % 8},${(i % 8) + 8}`]),
  );
  const counted = (files: Record<string, string>) => {
    const { machine, allowed, cores } = parallelism(system(files));
    return [machine, allowed, cores];
  };

  it("SMT siblings are one core", () => {
    expect(counted({ ...status("0-15"), ...siblings, [`${CPUS}/online`]: "0-15" })).toEqual([16, 16, 8]);
    expect(counted({ ...status("0-1,8"), ...siblings, [`${CPUS}/online`]: "0-15" })).toEqual([16, 3, 2]);
  });

  it("those that are off don't count", () => {
    expect(counted({ ...status("0-255"), ...siblings, [`${CPUS}/online`]: "0-3,8-11" })).toEqual([8, 8, 4]);
  });

  it("without a topology each is a core", () => {
    expect(counted({ ...status("2,4-5"), [`${CPUS}/online`]: "0-7" })).toEqual([8, 3, 3]);
  });

  it("Intel's hybrids: the slow cores don't count, unless there are no others", () => {
    const hybrid = { ...siblings, [`${CPUS}/online`]: "0-19", "sys/devices/cpu_core/cpus": "0-15", "sys/devices/cpu_atom/cpus": "16-19" };
    expect(counted({ ...status("0-19"), ...hybrid })).toEqual([20, 20, 8]);
    expect(counted({ ...status("16-18"), ...hybrid })).toEqual([20, 3, 3]);
  });

  it("Arm's hybrids: so by capacity", () => {
    const capacities = [250, 250, 250, 250, 870, 870, 870, 1024].map((capacity, i) => [`${CPUS}/cpu${i}/cpu_capacity`, String(capacity)]);
    const hybrid = { ...Object.fromEntries(capacities), [`${CPUS}/online`]: "0-7" };
    expect(counted({ ...status("0-7"), ...hybrid })).toEqual([8, 8, 4]);
    expect(counted({ ...status("0-3"), ...hybrid })).toEqual([8, 4, 4]);
  });

  it("of a system that tells nothing are what Node counts", () => {
    expect(counted({})).toEqual(Array(3).fill(availableParallelism()));
  });

  it("of this system", () => {
    const here = parallelism();
    expect(here.cores).toBeGreaterThan(0);
    expect(here.allowed).toBeGreaterThanOrEqual(here.cores);
    expect(here.machine).toBeGreaterThanOrEqual(here.allowed);
    expect(mostThreads(here)).toBeGreaterThan(0);
  });
});
