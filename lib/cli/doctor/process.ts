import { KvasirError } from "../../errors.ts";
import type { NativeModule } from "../../native/addon.ts";
import type { Finding } from "./finding.ts";
import type { System } from "./system.ts";

/** Which Node it is. One that is too old has refused before (lib/package/node-version.ts). */
export function checkNode({ nodeVersion, platform }: System): Finding {
  return { name: "node", state: "ok", text: `${nodeVersion} on ${platform}`, facts: { version: nodeVersion, platform } };
}

/** Whether the native addon is there and can be loaded. The reason why not says what helps. */
export function checkAddon(system: System): { finding: Finding; module: NativeModule | undefined } {
  try {
    const { module, path } = system.loadAddon();
    return { finding: { name: "addon", state: "ok", text: path, facts: { path } }, module };
  } catch (error) {
    if (!(error instanceof KvasirError)) throw error;
    const { code, message: text } = error;
    return { finding: { name: "addon", state: "failure", text, code, facts: {} }, module: undefined };
  }
}
