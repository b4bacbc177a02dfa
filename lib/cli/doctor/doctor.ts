import { KvasirError } from "../../errors.ts";
import type { Arguments } from "../arguments.ts";
import { openCached } from "../cached.ts";
import type { Command } from "../command.ts";
import { refuseWords } from "../options.ts";
import { withStatus } from "../status-line.ts";
import { checkCache } from "./cache.ts";
import { type Finding, showFindings } from "./finding.ts";
import { checkDevice, checkGpu } from "./gpu.ts";
import { checkMemory } from "./memory.ts";
import { checkAddon, checkNode } from "./process.ts";
import { checkProcessor } from "./processor.ts";
import { type System, thisSystem } from "./system.ts";
import { checkTrial } from "./trial.ts";

/** `kvasir doctor`: what kvasir needs of this machine, one line each, and what helps where something is wrong. */
export const DOCTOR: Command = {
  usage: "doctor",
  summary: "whether kvasir runs here, on what, and how large a model fits",
  groups: [],
  run: doctor,
};

async function doctor(args: Arguments): Promise<void> {
  refuseWords(args, "doctor", "nothing");
  const findings = await withStatus("examining this machine", () => examine(thisSystem()));
  const failure = findings.find(({ state }) => state === "failure");
  process.stdout.write(args.has("json") ? `${JSON.stringify({ ok: failure === undefined, findings })}\n` : showFindings(findings));
  if (failure !== undefined)
    throw new KvasirError(failure.code ?? "UNSUPPORTED_DEVICE", `kvasir does not run here: ${failure.name}: ${failure.text}`);
}

/** All that can be found out; what needs the addon only where there is one. */
export async function examine(system: System): Promise<Finding[]> {
  const { finding, module } = checkAddon(system);
  const general = [checkNode(system), finding];
  const places = [checkMemory(system), await checkCache(system)];
  if (module === undefined) return [...general, ...places];
  // Where the bundled model is missing, the trial says so.
  const probe = await openCached("tales").catch(() => undefined);
  const devices = [checkProcessor(system, module), await checkGpu(system, module, probe), checkDevice(module)];
  return [...general, ...devices, ...places, await checkTrial()];
}
