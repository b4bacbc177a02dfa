/** Why there is no addon, and what helps. */

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

/** This process's host. Takes a few milliseconds. */
export function hostOf({ platform, arch, report }: NodeJS.Process): Host {
  const { header } = report!.getReport() as unknown as { header: { glibcVersionRuntime?: string } };
  return { platform, arch, glibc: header.glibcVersionRuntime };
}

/** The message of an addon that is missing or was not loaded for `reason`. */
export function whyMissing({ platform, arch, glibc }: Host, reason: string): string {
  const published = `expected linux-x64 with glibc ${GLIBC_FLOOR} or later`;
  const none = reason.startsWith("No native build was found");
  if (none && (platform !== "linux" || arch !== "x64"))
    return `kvasir has no binary for ${platform}-${arch}; ${published}. A container is one: docker run --platform linux/amd64 node:22-slim`;
  if (platform === "linux" && glibc === undefined)
    return `the C library is musl or unknown; ${published}. In a container: node:22-slim in the place of node:22-alpine`;
  if (glibc !== undefined && older(glibc, GLIBC_FLOOR))
    return `glibc is ${glibc}; ${published}: a newer system, or a container such as node:22-slim`;
  return `kvasir's native addon can't be loaded (${reason.trim().replace(/\s*\n\s*/g, ", ")}). In a clone, npm run setup builds it; \
elsewhere install kvasir again`;
}

function older(version: string, floor: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const [floorMajor = 0, floorMinor = 0] = floor.split(".").map(Number);
  return major < floorMajor || (major === floorMajor && minor < floorMinor);
}
