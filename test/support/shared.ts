import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = new URL("../../../shared/", import.meta.url);

/** Whether the reference material lies beside the checkout; a user's clone has none, and tests that need it are skipped. */
export const hasShared: boolean = existsSync(root);

if (!hasShared) console.warn("reference material ../shared is absent: tests that compare with it are skipped");

/** A path inside the reference material. */
export function sharedPath(...parts: string[]): string {
  return fileURLToPath(new URL(parts.join("/"), root));
}
