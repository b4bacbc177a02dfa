import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { KvasirError } from "../errors.ts";

/**
 * The package's folder, where addon, models and workers are. Throws ADDON_MISSING where this file was bundled into another: that finds none of
 * them.
 */
export function packageFolder(url: string | undefined = import.meta.url): string {
  // Bundles of CommonJS have no import.meta.url.
  const file = url === undefined ? "a bundle" : fileURLToPath(url);
  const folder = dirname(dirname(dirname(file)));
  if (isPackage(join(folder, "package.json"))) return folder;
  throw new KvasirError(
    "ADDON_MISSING",
    `kvasir was bundled into ${file}; expected its own package, which has the addon, models and workers beside the code: leave kvasir external ` +
      '(esbuild and Rollup: external ["kvasir"]; webpack: externals; Vite: ssr.external; Next.js: serverExternalPackages)',
  );
}

function isPackage(manifest: string): boolean {
  return existsSync(manifest) && (JSON.parse(readFileSync(manifest, "utf8")) as { name?: unknown }).name === "kvasir";
}
