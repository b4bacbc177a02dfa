import { availableParallelism } from "node:os";
import { join } from "node:path";
import { cpuQuota } from "./cpu-quota.ts";
import { textOf } from "./system-files.ts";

/** What decides how many threads run at once. */
export interface Parallelism {
  /** Processors of the machine, as the system counts them: SMT siblings are several. */
  machine: number;
  /** Those of them that this thread may run on, by its affinity, which threads that it makes inherit. */
  allowed: number;
  /** Cores of the allowed: SMT siblings are one, and slow cores beside fast ones none. */
  cores: number;
  /** Processors' worth of time that control groups leave; `undefined`: no limit. */
  quota: number | undefined;
}

/** Most threads that are taken unasked. Chosen: a machine with more cores has other work, too. */
const DEFAULT_MAX_THREADS = 64;

/** Threads that may run at once; more would wait for each other. */
export function mostThreads({ allowed, quota = Number.POSITIVE_INFINITY }: Parallelism): number {
  return Math.max(1, Math.min(allowed, Math.ceil(quota)));
}

/** Threads that are taken unasked: SMT siblings would share what multiplies, and fast cores wait for slow ones. */
export function usualThreads(parallelism: Parallelism): number {
  return Math.min(parallelism.cores, mostThreads(parallelism), DEFAULT_MAX_THREADS);
}

/** Of the calling thread, at the moment. `root` is another folder than `/` in tests. */
export function parallelism(root: string = "/"): Parallelism {
  const online = numbersIn(textOf(join(root, "sys/devices/system/cpu/online")));
  const affinity = /^Cpus_allowed_list:(.*)$/m.exec(textOf(join(root, "proc/thread-self/status")))?.[1] ?? "";
  const own = new Set(numbersIn(affinity));
  const allowed = online.filter((cpu) => own.has(cpu));
  const quota = cpuQuota(root);
  if (allowed.length > 0) return { machine: online.length, allowed: allowed.length, cores: countCores(fastOf(allowed, root), root), quota };
  const count = availableParallelism(); // the system says no more
  return { machine: count, allowed: count, cores: count, quota };
}

/** Those in fast cores: of Intel's hybrids as the system names them, of Arm's by their capacity, at least half of the largest. */
function fastOf(cpus: readonly number[], root: string): readonly number[] {
  const named = new Set(numbersIn(textOf(join(root, "sys/devices/cpu_core/cpus"))));
  const performance = cpus.filter((cpu) => named.has(cpu));
  if (performance.length > 0) return performance;
  const capacityOf = (cpu: number): number => Number(textOf(join(folderOf(cpu, root), "cpu_capacity")));
  if (capacityOf(cpus[0]!) === 0) return cpus;
  const capacities = cpus.map(capacityOf);
  return cpus.filter((_, i) => capacities[i]! >= Math.max(...capacities) / 2);
}

function countCores(cpus: readonly number[], root: string): number {
  const counted = new Set<number>();
  let cores = 0;
  for (const cpu of cpus) {
    if (counted.has(cpu)) continue;
    cores += 1;
    for (const sibling of numbersIn(textOf(join(folderOf(cpu, root), "topology/thread_siblings_list")))) counted.add(sibling);
  }
  return cores;
}

function folderOf(cpu: number, root: string): string {
  return join(root, `sys/devices/system/cpu/cpu${cpu}`);
}

/** The system's lists of processors: `0-2,8` is 0, 1, 2, 8. */
function numbersIn(list: string): number[] {
  return [...list.matchAll(/(\d+)(?:-(\d+))?/g)].flatMap(([, first, last = first]) =>
    Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i),
  );
}
