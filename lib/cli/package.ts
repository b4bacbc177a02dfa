import { readFileSync } from "node:fs";

/** What kvasir's package.json says that the command line tells. */
export interface PackageJson {
  version: string;
  engines: { node: string };
}

/** kvasir's package.json. */
export function packageJson(): PackageJson {
  return JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as PackageJson;
}
