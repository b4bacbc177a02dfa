import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { dirname } from "node:path";
import { KvasirError } from "../../errors.ts";
import { type HubSettings, hubSettings } from "../../hub/settings.ts";
import { showBytes } from "../format.ts";
import type { Finding } from "./finding.ts";
import type { System } from "./system.ts";

/** Less room than a small model takes; chosen. */
const LITTLE_ROOM = 2e9;

/** Whether models of the hub can be kept: its settings, and the folder of its cache. */
export async function checkCache({ env, freeBytes }: System): Promise<Finding> {
  let settings: HubSettings;
  try {
    settings = await hubSettings(env);
  } catch (error) {
    if (!(error instanceof KvasirError)) throw error;
    return {
      name: "hub",
      state: "warning",
      text: error.message,
      cure: "set it right, or unset it; models that are files run all the same",
      facts: {},
    };
  }
  const { cache, endpoint, offline, token } = settings;
  const folder = await existing(cache);
  const writable = await isAllowed(folder, constants.W_OK | constants.X_OK);
  const free = await freeBytes(folder).catch(() => undefined); // not every file system says
  const facts = { cache, writable, freeBytes: free, endpoint, offline, hasToken: token !== undefined };
  const how = `${free === undefined ? "unknown room" : showBytes(free)} free; from ${offline ? "nowhere (HF_HUB_OFFLINE)" : endpoint}${token === undefined ? "" : " with a token"}`;
  const finding = (text: string, cure?: string): Finding => ({
    name: "hub",
    state: cure === undefined ? "ok" : "warning",
    text: `${cache}: ${text}`,
    ...(cure && { cure }),
    facts,
  });
  if (!writable)
    return finding(`${folder} can't be written`, "set HF_HOME to a folder that can, or change its owner; cached models run all the same");
  return finding(how, free !== undefined && free < LITTLE_ROOM ? "free some room, or set HF_HOME to a larger disk" : undefined);
}

/** The folder, or the innermost of those around it that is there. */
async function existing(folder: string): Promise<string> {
  const isThere = await isAllowed(folder, constants.F_OK);
  return isThere || dirname(folder) === folder ? folder : existing(dirname(folder));
}

function isAllowed(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}
