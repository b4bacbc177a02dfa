import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { KvasirError } from "../errors.ts";

/** kvasir as it is installed. */
interface Package {
  /** Where addon, models and workers are. */
  folder: string;
  version: string;
}

/** The package's folder. Throws ADDON_MISSING where this file was bundled into another: that finds nothing of what is there. */
export function packageFolder(url?: string): string {
  return thePackage(url).folder;
}

/** The package, as {@link packageFolder} finds it. */
export function thePackage(url: string | undefined = import.meta.url): Package {
  // Bundles of CommonJS have no import.meta.url.
  const file = url === undefined ? "a bundle" : fileURLToPath(url);
  const folder = dirname(dirname(dirname(file)));
  const { name, version } = manifestAt(join(folder, "package.json"));
  if (name === "kvasir" && version !== undefined) return { folder, version };
  throw new KvasirError(
    "ADDON_MISSING",
    `kvasir was bundled into ${file}; expected its own package, which has the addon, models and workers beside the code: leave kvasir external ` +
      '(esbuild and Rollup: external ["kvasir"]; webpack: externals; Vite: ssr.external; Next.js: serverExternalPackages)',
  );
}

function manifestAt(path: string): { name?: string; version?: string } {
  return existsSync(path) ? JSON.parse(readFileSync(path, "utf8")) : {};
}
