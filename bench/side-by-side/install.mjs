// Packages in empty projects, as users get them.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** `npm pack`: the tarball's path in `folder`. */
export function packKvasir(folder) {
  mkdirSync(folder, { recursive: true });
  const output = execFileSync("npm", ["pack", "--silent", "--pack-destination", folder], { cwd: ROOT, encoding: "utf8" });
  return join(folder, output.trim().split("\n").at(-1));
}

/**
 * Installs `spec` into an empty project, from npm's cache where it has it, and puts the engine's script for case.mjs there, too. Scripts don't
 * run: none of the engines needs one here, and npm 12 runs none.
 */
export function install(folder, spec, script) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  const flags = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel", "error"];
  const start = performance.now();
  execFileSync("npm", ["install", ...flags, spec], { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  const installSeconds = (performance.now() - start) / 1000;
  copyFileSync(script, join(folder, "engine.mjs"));
  const [kilobytes] = execFileSync("du", ["-sk", join(folder, "node_modules")], { encoding: "utf8" }).split("\t");
  return { installSeconds, installedMB: (Number(kilobytes) * 1024) / 1e6 };
}
