import { join } from "node:path";
import { ROOT } from "./sources.ts";

/** A file of the packages that `npm ci --prefix test/package/full` installs. */
export function tool(path: string): string {
  return join(ROOT, "test/package/full/node_modules", path);
}
