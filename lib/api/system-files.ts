import { readFileSync } from "node:fs";

/** The text of one of the system's small files, which are there before anything else is; empty where there is no such file. */
export function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
