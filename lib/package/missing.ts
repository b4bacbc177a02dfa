/** Why there is no addon, and what helps. */
import { isOlder } from "./versions.ts";

/** The oldest glibc that the published binaries run with: that of Debian 11 (native/sysroot.sh). */
export const GLIBC_FLOOR = "2.31";

/** Where the addon was to be loaded. */
export interface Host {
  /** As `process.platform` and `process.arch`. */
  platform: string;
  arch: string;
  /** Version of glibc; `undefined` with another C library. */
  glibc: string | undefined;
}

/** Node 20's types lack a setting that it has. */
type Report = NodeJS.ProcessReport & { excludeNetwork: boolean };

/** This process's host. Takes a few milliseconds. */
export function hostOf({ platform, arch, report: ofProcess }: NodeJS.Process): Host {
  const report = ofProcess as Report;
  const { excludeNetwork } = report;
  report.excludeNetwork = true; // else the names of sockets' other ends are looked up, which may take seconds
  try {
    const { header } = report.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
    return { platform, arch, glibc: header.glibcVersionRuntime };
  } finally {
    report.excludeNetwork = excludeNetwork;
  }
}

/** The message of an addon that is missing or was not loaded for `reason`. */
export function whyMissing({ platform, arch, glibc }: Host, reason: string): string {
  const published = `expected linux-x64 with glibc ${GLIBC_FLOOR} or later`;
  const none = reason.startsWith("No native build was found");
  if (none && (platform !== "linux" || arch !== "x64"))
    return `kvasir has no binary for ${platform}-${arch}; ${published}. A container is one: docker run --platform linux/amd64 node:22-slim`;
  if (platform === "linux" && glibc === undefined)
    return `the C library is musl or unknown; ${published}. In a container: node:22-slim in the place of node:22-alpine`;
  if (glibc !== undefined && isOlder(glibc, GLIBC_FLOOR))
    return `glibc is ${glibc}; ${published}: a newer system, or a container such as node:22-slim`;
  return `kvasir's native addon can't be loaded (${reason.trim().replace(/\s*\n\s*/g, ", ")}). In a clone, npm run setup builds it; \
elsewhere install kvasir again`;
}
