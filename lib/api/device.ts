import { checkInteger, checkOneOf, invalid } from "../check.ts";
import { counted, KvasirError, show } from "../errors.ts";
import { bytesOfWeights } from "../model/manifest.ts";
import type { ModelSource } from "../model/spec.ts";
import type { DeviceConfig, Isa, NativeModule } from "../native/addon.ts";
import { memoryBytes } from "./memory.ts";
import { mostThreads, type Parallelism, parallelism, usualThreads } from "./parallelism.ts";

/** What `EngineOptions` say of the device. */
interface DeviceRequest {
  device?: unknown;
  threads?: unknown;
  isa?: unknown;
  compute?: unknown;
}

/** What a machine has to run models on. GPUs are asked only where they may run the model, one after the other. */
export interface Machine extends Pick<NativeModule, "isas" | "gpuCount" | "gpuFreeBytes"> {
  /** In place of what the system says; of tests, which run more threads than there are processors. */
  parallelism?: () => Parallelism;
}

/** A device, and the memory that it has for the cache beside the weights. */
export interface ChosenDevice {
  device: DeviceConfig;
  /** Of the CPU, where a number was asked for. */
  threadsRequested?: number | undefined;
  /** Bytes: what is taken unasked, what is where one sequence needs it, and what may be asked for. */
  cacheBytes: { usual: number; most: number; limit: number };
}

/** Most threads, and the largest number of a GPU: the native side's bounds. */
const [MAX_THREADS, MAX_INDEX] = [256, 255];

/** What a GPU needs beside weights and cache: its context, activations, graphs. Chosen: steps of 4096 tokens of Llama-3.1-8B compute in 0.5 GB of it. */
export const GPU_RESERVE: number = 2 ** 30;

/**
 * Share of what is left on a GPU that the cache may take: a GPU is there for the model, but sizes are estimates, and weights that are unpacked for long
 * prompts take some of it, where there is room (0.25 GB of Llama-3.1-8B). Chosen.
 */
const GPU_SHARE = 0.9;

/**
 * The device that `options` ask for. `"auto"` is the first GPU that has room for the models' weights, or the CPU; always the CPU where `isa`,
 * `threads` or int8 products are asked for, which are its own.
 */
export function chooseDevice(options: DeviceRequest, machine: Machine, models: readonly ModelSource[]): ChosenDevice {
  const { device = "auto" } = options;
  const cuda = typeof device === "string" ? /^cuda(?::(\d{1,3}))?$/.exec(device) : null;
  if (cuda === null && device !== "auto" && device !== "cpu") throw invalid("device", device, "one of auto, cpu, cuda, cuda:N");
  const weights = models.reduce((sum, model) => sum + bytesOfWeights(model, "cuda"), 0);
  if (cuda !== null) {
    const index = Number(cuda[1] ?? 0);
    if (index > MAX_INDEX) throw invalid("device", device, `one of ${deviceNames(machine)}`);
    const free = machine.gpuFreeBytes(index);
    if (free === undefined && machine.gpuCount() > 0 && index >= machine.gpuCount()) {
      throw new KvasirError("UNSUPPORTED_DEVICE", `device is ${show(device)}; expected one of ${deviceNames(machine)}`);
    }
    if (free !== undefined && free < weights + GPU_RESERVE) {
      throw new KvasirError(
        "OUT_OF_MEMORY",
        `device cuda:${index} has ${counted(free, "byte")} free; expected at least ${weights + GPU_RESERVE}: ${weights} of weights and ${GPU_RESERVE} beside them`,
      );
    }
    return onGpu(index, free, weights);
  }
  const isForCpu = device === "cpu" || options.isa !== undefined || options.threads !== undefined || options.compute === "int8";
  for (let index = 0; !isForCpu && index < machine.gpuCount(); index++) {
    const free = machine.gpuFreeBytes(index) ?? 0;
    if (weights <= roomForWeights(free)) return onGpu(index, free, weights);
  }
  return onCpu(options, machine);
}

/** What `device` may name. */
function deviceNames(machine: Machine): string {
  return ["cpu", ...Array.from({ length: machine.gpuCount() }, (_, index) => `cuda:${index}`)].join(", ");
}

/** Bytes of weights that `"auto"` puts on a GPU with so many free ones: beside its reserve a cache is to have as much. Below 0: none. */
export function roomForWeights(free: number): number {
  return free - 2 * GPU_RESERVE;
}

/** Without `free` bytes it is of no use to this build, or there is none at all, which the native side says with its reason. */
function onGpu(index: number, free: number | undefined, weights: number): ChosenDevice {
  const limit = free ?? memoryBytes();
  const left = Math.max(0, Math.floor(GPU_SHARE * (limit - weights - GPU_RESERVE)));
  return { device: { kind: "cuda", index }, cacheBytes: { usual: left, most: left, limit } };
}

/** Of the memory a quarter, or up to half where it is needed for one sequence. Both are chosen: weights and other programs need the rest. */
function onCpu({ threads, isa = "auto" }: DeviceRequest, machine: Machine): ChosenDevice {
  const here = (machine.parallelism ?? parallelism)();
  const threadsRequested = threads === undefined ? undefined : checkInteger("threads", threads, 1, MAX_THREADS);
  const device: DeviceConfig = {
    kind: "cpu",
    isa: checkIsa(isa, machine.isas()),
    threads: Math.min(threadsRequested ?? usualThreads(here), mostThreads(here)),
  };
  const limit = memoryBytes();
  return { device, threadsRequested, cacheBytes: { usual: Math.floor(limit / 4), most: Math.floor(limit / 2), limit } };
}

function checkIsa(isa: unknown, isas: readonly Isa[]): Isa {
  const named = checkOneOf("isa", isa, ["auto", "portable", "avx2", "avx512", "avx512_bf16", "amx"]);
  const found = named === "auto" ? isas.at(-1) : isas.find((candidate) => candidate === named);
  if (found === undefined) {
    throw new KvasirError("UNSUPPORTED_DEVICE", `isa is "${named}", which this processor does not run; expected one of ${isas.join(", ")}`);
  }
  return found;
}
