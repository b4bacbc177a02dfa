import { chooseDevice, GPU_RESERVE } from "../../api/device.ts";
import { checkOptions } from "../../api/options.ts";
import type { ModelSource } from "../../model/spec.ts";
import { type NativeModule, nativeError } from "../../native/addon.ts";
import { nativeConfig } from "../../run/parts.ts";
import { showBytes } from "../format.ts";
import type { Finding } from "./finding.ts";
import type { System } from "./system.ts";

/** A GPU as the addon sees it; without `freeBytes`, this build does not run on it. */
interface Gpu {
  device: string;
  freeBytes: number | undefined;
}

const BUILD = "npm run build:cuda in the repository, with nvcc of CUDA 12 or later, makes a build that uses it";

/** Which GPUs there are, and whether this build uses them. `probe` is a model to ask the addon with. */
export async function checkGpu({ nvidia }: System, module: NativeModule, probe: ModelSource | undefined): Promise<Finding> {
  const gpus = Array.from(
    { length: module.gpuCount() },
    (_, index): Gpu => ({ device: `cuda:${index}`, freeBytes: module.gpuFreeBytes(index) }),
  );
  const refusal = gpus.length > 0 ? undefined : await refusalOf(module, probe);
  // As native/addon/backends.cc says it.
  const builtWithCuda = refusal === undefined || !refusal.includes("this build of kvasir does not have");
  const facts = { builtWithCuda, driver: nvidia.driver, names: nvidia.gpus, gpus };
  const driver =
    nvidia.driver === undefined ? "no NVIDIA driver" : `NVIDIA driver ${nvidia.driver} (${nvidia.gpus.join(", ") || "no GPU"})`;
  const finding = (state: Finding["state"], text: string, cure?: string): Finding => ({
    name: "gpu",
    state,
    text,
    ...(cure && { cure }),
    facts,
  });
  if (!builtWithCuda && nvidia.driver === undefined) return finding("ok", `${driver}; this build has no CUDA`);
  if (!builtWithCuda) return finding("warning", `${driver}; this build has no CUDA`, BUILD);
  if (gpus.length === 0)
    return finding(
      "warning",
      `${driver}; built with CUDA, but ${refusal}`,
      "install NVIDIA's driver, in Docker run with --gpus all; or do without",
    );
  const list = gpus.map(
    ({ device, freeBytes }) => `${device} ${freeBytes === undefined ? "not for this build" : `${showBytes(freeBytes)} free`}`,
  );
  const allRun = gpus.every(({ freeBytes }) => freeBytes !== undefined);
  return finding(allRun ? "ok" : "warning", `${driver}; ${list.join(", ")}`, allRun ? undefined : `build for it: ${BUILD}`);
}

/** Why the addon takes no GPU: what it says when it is asked for one. */
async function refusalOf(module: NativeModule, probe: ModelSource | undefined): Promise<string> {
  if (probe === undefined) return "there is no model to ask it with";
  try {
    const engine = new module.Engine(
      nativeConfig(probe, { ...checkOptions({ device: "cpu" }, probe, module), device: { kind: "cuda", index: 0 } }),
    );
    await engine.close();
    return "it counts no GPU";
  } catch (error) {
    return nativeError(error).message;
  }
}

/** What `device: "auto"` takes, and why. */
export function checkDevice(module: NativeModule): Finding {
  const { device } = chooseDevice({}, module, []);
  const room = device.kind === "cuda" ? Math.max(0, module.gpuFreeBytes(device.index)! - 2 * GPU_RESERVE) : 0;
  const text =
    device.kind === "cuda"
      ? `cuda:${device.index} for weights up to ${showBytes(room)}, else the next GPU with room or the CPU`
      : `cpu, ${device.isa}, ${device.threads} threads: ${module.gpuCount() === 0 ? "there is no GPU that this build uses" : "no GPU has room"}`;
  return { name: "device", state: "ok", text: `"auto" takes ${text}`, facts: { auto: device, ...(room > 0 && { weightBytes: room }) } };
}
