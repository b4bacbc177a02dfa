import { WEIGHTS_SHARE } from "../../hub/open.ts";
import { TENSOR_TYPES, type TensorType } from "../../model/spec.ts";
import { showBytes } from "../format.ts";
import type { Finding } from "./finding.ts";
import type { System } from "./system.ts";

/** Less than this is soon used up by Node and a small model; chosen. */
const LITTLE = 1e9;

const TYPES: readonly (readonly [name: string, type: TensorType])[] = [
  ["q4", "Q4_0"],
  ["q8", "Q8_0"],
  ["bf16", "BF16"],
];

/** How much memory there is, and how large a model fits it beside a cache. */
export function checkMemory({ memory }: System): Finding {
  const { machine, container, available } = memory;
  const weights = WEIGHTS_SHARE * container;
  const parameters = Object.fromEntries(TYPES.map(([name, type]) => [name, parametersIn(weights, type)]));
  const models = Object.entries(parameters).map(([name, count]) => `${(count / 1e9).toPrecision(2)} B at ${name}`);
  const limit = container < machine ? `${showBytes(container)} for this container, of ${showBytes(machine)}` : showBytes(machine);
  const isLittle = available < LITTLE;
  return {
    name: "memory",
    state: isLittle ? "warning" : "ok",
    text: `${limit}, ${showBytes(available)} available; fits models up to ${models.join(", ")}`,
    ...(isLittle && { cure: "end other programs, or raise the container's limit; kvasir fit MODEL says what a model needs" }),
    facts: { machine, container, available, weightBytes: weights, parameters },
  };
}

/** Weights of a type that take so many bytes. */
function parametersIn(bytes: number, type: TensorType): number {
  return Math.floor((bytes / TENSOR_TYPES[type].bytes) * TENSOR_TYPES[type].block);
}
