import { defaultBatchTokens } from "../api/batch-tokens.ts";
import { chooseDevice, GPU_RESERVE, type Machine } from "../api/device.ts";
import { type Footprint, footprintOf, type Load } from "../api/footprint.ts";
import { memoryBytes } from "../api/memory.ts";
import type { EngineOptions } from "../api/options.ts";
import { KV_TYPES, MAX_SLOTS, PAGE_SIZE } from "../api/pools.ts";
import { largestFitting } from "../api/search.ts";
import { checkInteger, checkOneOf } from "../check.ts";
import { counted, KvasirError, show } from "../errors.ts";
import type { ModelSource } from "../model/spec.ts";
import { type DeviceConfig, native } from "../native/addon.ts";
import type { Arguments } from "./arguments.ts";
import { openCached } from "./cached.ts";
import type { Command } from "./command.ts";
import { showBytes, showCounted, showRows } from "./format.ts";
import { modelWord, PLACE_OPTIONS } from "./options.ts";
import { withStatus } from "./status-line.ts";

/** `kvasir fit MODEL`: what a model takes, before it is loaded. */
export const FIT: Command = {
  usage: "fit MODEL",
  summary: "bytes for weights and cache at a context and batch, and what fits the memory",
  details: "Files' headers alone are read. Ends with 1 if it doesn't fit.\n",
  groups: [
    {
      title: "load",
      options: {
        context: { value: "N", help: "tokens of a request, prompt and output (default: what the model was trained for)" },
        batch: { value: "N", help: "requests at once (default: 1)" },
      },
    },
    PLACE_OPTIONS,
  ],
  run: fit,
};

/** What `kvasir fit` finds. */
interface Fit {
  model: string;
  architecture: string;
  parameters: number;
  contextLength: number;
  device: string;
  load: Load;
  /** With these an engine of this load is opened. */
  options: EngineOptions;
  /** `process`: Node and the tokenizer; on a GPU what the driver takes. */
  bytes: Footprint & { process: number; total: number };
  /** Bytes that the device has, and those that nobody uses at the moment. */
  memory: { total: number; available: number };
  fits: boolean;
  /** Of a request's tokens at this batch, and of requests at this context; 0 if there is none. */
  largest: { context: number; batch: number };
}

/** Bytes of Node, its threads and a tokenizer. Chosen: twice what they take with the bundled model, since a large vocabulary takes more. */
const PROCESS_BYTES = 2 ** 28;

async function fit(args: Arguments): Promise<void> {
  const model = modelWord(args, "fit");
  const source = await withStatus(`reading ${model}`, () => openCached(model));
  const found = fitOf(model, source, args, native());
  process.stdout.write(args.has("json") ? `${JSON.stringify(found)}\n` : showFit(found));
  const { fits, bytes, memory, device } = found;
  if (!fits) throw new KvasirError("OUT_OF_MEMORY", `${model} takes ${showBytes(bytes.total)}; ${device} has ${showBytes(memory.total)}`);
}

/** What a model takes on a machine under the load that the command line names. */
export function fitOf(model: string, source: ModelSource, args: Arguments, machine: Machine): Fit {
  const { contextLength, learnedPositions, architecture } = source.spec;
  const named = args.text("device") ?? "auto";
  const { device, memory } = placeOf(named, source, machine);
  const load: Load = {
    batch: checkInteger("--batch", args.number("batch") ?? 1, 1, MAX_SLOTS),
    context: checkInteger("--context", args.number("context") ?? contextLength, 1, learnedPositions || 2 ** 30),
    kvType: checkOneOf("--kv-type", args.text("kv-type") ?? "f16", KV_TYPES),
    maxBatchTokens: defaultBatchTokens(device, [source]),
  };
  const bytesOf = (changed: Partial<Load>): Fit["bytes"] => withProcess(footprintOf(source, { ...load, ...changed }, device.kind), device);
  const longest = Math.max(contextLength, load.context);
  const pages = largestFitting(Math.ceil(longest / PAGE_SIZE), (n) => bytesOf({ context: n * PAGE_SIZE }).total <= memory.total);
  const bytes = bytesOf({});
  return {
    model,
    architecture,
    parameters: source.tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0),
    contextLength,
    device: device.kind === "cpu" ? "cpu" : `cuda:${device.index}`,
    load,
    options: {
      ...(named !== "auto" && { device: named as NonNullable<EngineOptions["device"]> }),
      ...(load.kvType !== "f16" && { kvType: load.kvType }),
      maxContext: load.context,
      kvCacheBytes: bytes.cache,
    },
    bytes,
    memory,
    fits: bytes.total <= memory.total,
    largest: {
      context: Math.min(pages * PAGE_SIZE, longest),
      batch: largestFitting(MAX_SLOTS, (batch) => bytesOf({ batch }).total <= memory.total),
    },
  };
}

/** With what is there beside an engine's own. What is kept free on a GPU has room for the workspace, too. */
function withProcess(footprint: Footprint, { kind }: DeviceConfig): Fit["bytes"] {
  const { weights, cache, workspace } = footprint;
  const process = kind === "cpu" ? PROCESS_BYTES : Math.max(0, GPU_RESERVE - workspace);
  return { ...footprint, process, total: weights + cache + workspace + process };
}

/** The device, and what it has. A GPU that is asked for by name need not have room. */
function placeOf(device: string, source: ModelSource, machine: Machine): { device: DeviceConfig; memory: Fit["memory"] } {
  const chosen = chooseDevice({ device }, machine, device === "auto" ? [source] : []).device;
  if (chosen.kind === "cpu") return { device: chosen, memory: { total: memoryBytes(), available: process.availableMemory() } };
  const free = machine.gpuFreeBytes(chosen.index);
  if (free === undefined) {
    throw new KvasirError("UNSUPPORTED_DEVICE", `device is ${show(device)}, which is of no use to this build; kvasir doctor tells why`);
  }
  return { device: chosen, memory: { total: free, available: free } };
}

/** Room is not all: the files don't say how far a model goes on to make sense. */
function beyond(contextLength: number): string {
  return `but the context is longer than the ${showCounted(contextLength, "token")} that the model was trained for: what it writes behind them may make no sense`;
}

function showFit({ model, architecture, parameters, contextLength, device, load, options, bytes, memory, fits, largest }: Fit): string {
  const { batch, context, kvType, maxBatchTokens } = load;
  const given = Object.entries(options).map(([name, value]) => `${name}: ${JSON.stringify(value)}`);
  const requests = batch === 1 ? "one request" : counted(batch, "request");
  const now = fits && memory.available < bytes.total ? `, but ${showBytes(memory.available)} available: end other programs` : "";
  return showRows([
    ["model", `${model}: ${architecture}, ${showCounted(parameters, "parameter")}, trained for ${showCounted(contextLength, "token")}`],
    ["weights", showBytes(bytes.weights)],
    ["cache", `${showBytes(bytes.cache)} for ${requests} of ${showCounted(context, "token")}, ${kvType}`],
    ["workspace", `${showBytes(bytes.workspace)} for steps of ${showCounted(maxBatchTokens, "token")}`],
    ["process", showBytes(bytes.process)],
    ["in all", `${showBytes(bytes.total)} of ${showBytes(memory.total)} on ${device}${now}`],
    ["fits", fits ? `yes; Engine.open(model, { ${given.join(", ")} }) takes it` : "no"],
    ...(context > contextLength ? [["", beyond(contextLength)] as const] : []),
    ["largest", largest.context === 0 ? `no context for ${requests}` : `${requests} of ${showCounted(largest.context, "token")}`],
    [
      "",
      largest.batch === 0
        ? `no request of ${showCounted(context, "token")}`
        : `${counted(largest.batch, "request")} at once of ${showCounted(context, "token")}`,
    ],
  ]);
}
