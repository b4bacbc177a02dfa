import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageFolder } from "../package/folder.ts";

/** What kvasir's package.json says that the command line tells. */
export interface PackageJson {
  version: string;
  engines: { node: string };
}

/** kvasir's package.json. */
export function packageJson(): PackageJson {
  return JSON.parse(readFileSync(join(packageFolder(), "package.json"), "utf8")) as PackageJson;
}
