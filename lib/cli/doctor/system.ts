import { readdirSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import { memoryBytes } from "../../api/memory.ts";
import { type Parallelism, parallelism } from "../../api/parallelism.ts";
import { textOf } from "../../api/system-files.ts";
import { addonPath, type NativeModule, native } from "../../native/addon.ts";

/** The machine and process that doctor looks at; tests make up others. */
export interface System {
  nodeVersion: string;
  platform: string;
  processor: {
    name: string;
    parallelism: Parallelism;
    /** What the kernel says that it has; empty where it says nothing. */
    flags: ReadonlySet<string>;
  };
  /** Bytes. Without a limit, a container has what the machine has. */
  memory: { machine: number; container: number; available: number };
  /** What NVIDIA's driver tells without being called: its version, and the names of GPUs. */
  nvidia: { driver: string | undefined; gpus: string[] };
  env: NodeJS.ProcessEnv;
  /** Bytes of the disk that holds a folder which are free. */
  freeBytes: (folder: string) => Promise<number>;
  /** Throws ADDON_MISSING. */
  loadAddon: () => { module: NativeModule; path: string };
}

/** This machine and process. */
export function thisSystem(): System {
  const cpuinfo = textOf("/proc/cpuinfo");
  return {
    nodeVersion: process.versions.node,
    platform: `${process.platform}-${process.arch}`,
    processor: {
      name: cpus()[0]?.model.trim() || "unknown",
      parallelism: parallelism(),
      flags: new Set(/^(?:flags|Features)\s*: (.*)$/m.exec(cpuinfo)?.[1]?.split(" ")),
    },
    memory: { machine: totalmem(), container: memoryBytes(), available: process.availableMemory() },
    nvidia: nvidia(),
    env: process.env,
    freeBytes: (folder) => statfs(folder).then(({ bavail, bsize }) => bavail * bsize),
    loadAddon: () => ({ module: native(), path: addonPath() }),
  };
}

function nvidia(): System["nvidia"] {
  const folder = "/proc/driver/nvidia";
  const driver = /Kernel Module\s+(?:for \S+\s+)?([\d.]+)/.exec(textOf(`${folder}/version`))?.[1];
  const gpus = foldersIn(`${folder}/gpus`).map((gpu) => /^Model:\s*(.*)$/m.exec(textOf(`${folder}/gpus/${gpu}/information`))?.[1] ?? gpu);
  return { driver, gpus };
}

function foldersIn(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
