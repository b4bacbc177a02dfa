import { KvasirError } from "../../errors.ts";
import type { NativeModule } from "../../native/addon.ts";
import type { Finding } from "./finding.ts";
import type { System } from "./system.ts";

/** Whether Node is one that kvasir runs on. */
export function checkNode({ node: { version, oldest }, platform }: System): Finding {
  const isOld = isOlder(version, oldest);
  return {
    name: "node",
    state: isOld ? "failure" : "ok",
    text: `${version} on ${platform}${isOld ? `; kvasir needs ${oldest} or later` : ""}`,
    ...(isOld && { cure: `install Node ${oldest} or later: https://nodejs.org` }),
    facts: { version, oldest, platform },
  };
}

function isOlder(version: string, oldest: string): boolean {
  const [own = [], least = []] = [version, oldest].map((text) => text.split(".").map(Number));
  const difference = least.map((number, i) => (own[i] ?? 0) - number).find((found) => found !== 0) ?? 0;
  return difference < 0;
}

/** Whether the native addon is there and can be loaded. */
export function checkAddon(system: System): { finding: Finding; module: NativeModule | undefined } {
  try {
    const { module, path } = system.loadAddon();
    return { finding: { name: "addon", state: "ok", text: path, facts: { path } }, module };
  } catch (error) {
    if (!(error instanceof KvasirError)) throw error;
    const { code, message } = error;
    const cure =
      "build it from the repository: npm run setup there (Linux, g++ and cmake); what came from npm has binaries for the systems that its README names";
    return {
      finding: { name: "addon", state: "failure", text: message.replace(/\s*\n\s*/g, " ").trim(), cure, code, facts: {} },
      module: undefined,
    };
  }
}
