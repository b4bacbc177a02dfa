import { chooseDevice, roomForWeights } from "../../api/device.ts";
import { checkOptions, type EngineOptions, optionsBeforeOpen } from "../../api/options.ts";
import { counted } from "../../errors.ts";
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
const NO_GPU = "in Docker run with --gpus all; where the driver is too old, install a newer one; or do without";

/** What the addon says of GPUs. */
interface GpuUse {
  gpus: Gpu[];
  /** Why it takes none. */
  refusal: string | undefined;
  /** `undefined` where that can't be told. */
  builtWithCuda: boolean | undefined;
}

/** Which GPUs there are, and whether this build uses them. `probe` is a model to ask the addon with. */
export async function checkGpu({ nvidia }: System, module: NativeModule, probe: ModelSource | undefined): Promise<Finding> {
  const use = await gpuUse(module, probe);
  const { gpus, builtWithCuda } = use;
  const { state, text, cure } = judge(use, nvidia.driver !== undefined);
  const driver =
    nvidia.driver === undefined ? "no NVIDIA driver" : `NVIDIA driver ${nvidia.driver} (${nvidia.gpus.join(", ") || "no GPU"})`;
  const facts = { builtWithCuda, driver: nvidia.driver, names: nvidia.gpus, gpus };
  return { name: "gpu", state, text: `${driver}; ${text}`, ...(cure !== undefined && { cure }), facts };
}

async function gpuUse(module: NativeModule, probe: ModelSource | undefined): Promise<GpuUse> {
  const gpus = Array.from(
    { length: module.gpuCount() },
    (_, index): Gpu => ({ device: `cuda:${index}`, freeBytes: module.gpuFreeBytes(index) }),
  );
  if (gpus.length > 0) return { gpus, refusal: undefined, builtWithCuda: true };
  if (probe === undefined) return { gpus, refusal: undefined, builtWithCuda: undefined };
  const refusal = await refusalOf(module, probe);
  // As native/addon/backends.cc says it.
  return { gpus, refusal, builtWithCuda: !refusal.includes("this build of kvasir does not have") };
}

function judge({ gpus, refusal, builtWithCuda }: GpuUse, hasDriver: boolean): Pick<Finding, "state" | "text" | "cure"> {
  if (builtWithCuda === undefined) return { state: "ok", text: "the addon uses no GPU" };
  if (!builtWithCuda) return { text: "this build has no CUDA", ...(hasDriver ? { state: "warning", cure: BUILD } : { state: "ok" }) };
  if (gpus.length === 0 && !hasDriver) return { state: "ok", text: "this build would use it" };
  if (gpus.length === 0) return { state: "warning", text: `built with CUDA, but ${refusal}`, cure: NO_GPU };
  const text = gpus
    .map(({ device, freeBytes }) => `${device} ${freeBytes === undefined ? "not for this build" : `${showBytes(freeBytes)} free`}`)
    .join(", ");
  const allRun = gpus.every(({ freeBytes }) => freeBytes !== undefined);
  return { text, ...(allRun ? { state: "ok" } : { state: "warning", cure: `build for it: ${BUILD}` }) };
}

/** Why the addon takes no GPU: what it says when it is asked for one. */
async function refusalOf(module: NativeModule, probe: ModelSource): Promise<string> {
  const given: EngineOptions = { device: "cpu" };
  const options = checkOptions(given, { opening: optionsBeforeOpen(given), source: probe, draft: undefined, machine: module });
  try {
    const engine = new module.Engine(nativeConfig(probe, { ...options, device: { kind: "cuda", index: 0 } }));
    await engine.close();
    return "it counts no GPU";
  } catch (error) {
    return nativeError(error).message;
  }
}

/** What `device: "auto"` takes, and why. */
export function checkDevice(module: NativeModule): Finding {
  const { device } = chooseDevice({}, module, []);
  const room = device.kind === "cuda" ? roomForWeights(module.gpuFreeBytes(device.index)!) : 0;
  const text =
    device.kind === "cuda"
      ? `cuda:${device.index} for weights up to ${showBytes(room)}, else the next GPU with room or the CPU`
      : `cpu, ${device.isa}, ${counted(device.threads, "thread")}: ${module.gpuCount() === 0 ? "there is no GPU that this build uses" : "no GPU has room"}`;
  return { name: "device", state: "ok", text: `"auto" takes ${text}`, facts: { auto: device, ...(room > 0 && { weightBytes: room }) } };
}
