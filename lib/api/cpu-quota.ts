import { join } from "node:path";
import { textOf } from "./system-files.ts";

/** A hierarchy of control groups, version 2 or version 1's of the processors, as it can be seen here. */
interface Mount {
  version: 1 | 2;
  /** The group that is seen at `point`. */
  root: string;
  point: string;
}

/**
 * Processors' worth of time that control groups leave this process, the least of those above it: 1.5 of `docker run --cpus 1.5`; `undefined`
 * without a limit. `root` is another folder than `/` in tests.
 */
export function cpuQuota(root: string = "/"): number | undefined {
  const mounts = linesAt(join(root, "proc/self/mountinfo")).flatMap(mountIn);
  const limits = linesAt(join(root, "proc/self/cgroup")).flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(.+)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) return [];
    const version = controllers === "" ? 2 : controllers.split(",").includes("cpu") ? 1 : undefined;
    const seen = mounts.filter((mount) => mount.version === version);
    return seen.flatMap((mount) => foldersOf(mount, path)).flatMap((folder) => limitIn(join(root, folder)));
  });
  return limits.length === 0 ? undefined : Math.min(...limits);
}

/** `31 24 0:27 ROOT POINT rw,nosuid shared:9 - cgroup2 cgroup rw`, of version 1 `- cgroup cgroup rw,cpu,cpuacct`. */
function mountIn(line: string): Mount[] {
  const [, root, point, type, options = ""] = /^\S+ \S+ \S+ (\S+) (\S+) .*- (\S+) \S+ (\S+)$/.exec(line) ?? [];
  if (root === undefined || point === undefined) return [];
  if (type === "cgroup2") return [{ version: 2, root, point }];
  return type === "cgroup" && options.split(",").includes("cpu") ? [{ version: 1, root, point }] : [];
}

/** The folders of a group and of all above it that can be seen; of a group that can't, that of those that can. */
function foldersOf({ root, point }: Mount, path: string): string[] {
  const isBelow = `${path}/`.startsWith(root === "/" ? "/" : `${root}/`) && !path.split("/").includes("..");
  const names = isBelow ? path.slice(root.length).split("/").filter(Boolean) : [];
  return [...names.keys(), names.length].map((count) => join(point, ...names.slice(0, count)));
}

/** Microseconds of processor time in each period: `150000 100000`, or `max 100000`; of version 1 in two files, -1 without a limit. */
function limitIn(folder: string): number[] {
  const text =
    textOf(join(folder, "cpu.max")) || `${textOf(join(folder, "cpu.cfs_quota_us"))} ${textOf(join(folder, "cpu.cfs_period_us"))}`;
  const [quota, period] = text.trim().split(/\s+/).map(Number);
  const limit = quota! / period!;
  return limit > 0 && Number.isFinite(limit) ? [limit] : [];
}

function linesAt(path: string): string[] {
  return textOf(path).split("\n");
}
