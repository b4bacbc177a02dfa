import { show } from "../../errors.ts";
import type { Config } from "../config.ts";

/** What a layer sees: transformers' names. */
export type LayerType = "full_attention" | "sliding_attention";

/** `layer_types` of a config, one for each layer; `undefined` if it has none. */
export function layerTypes(config: Config, layers: number): LayerType[] | undefined {
  const types = config.value("layer_types");
  if (types === undefined) return undefined;
  if (!Array.isArray(types) || types.length !== layers)
    throw config.invalid("layer_types", `is ${show(types)}; expected an array of ${layers} names, num_hidden_layers`);
  for (const type of types) if (type !== "full_attention" && type !== "sliding_attention") throw config.unsupported("layer_types", type);
  return types;
}

/** Refuses layers that don't see everything, for a family that has none. */
export function refuseWindows(config: Config): void {
  const types = config.value("layer_types");
  const other = Array.isArray(types) ? types.find((type) => type !== "full_attention") : undefined;
  if (other !== undefined) throw config.unsupported("layer_types", other, "such layers in this architecture");
}

/** Older configs and GGUF files say only that every `period`th layer sees everything. */
export function periodicLayerTypes(layers: number, period: number): LayerType[] {
  return Array.from({ length: layers }, (_, index) => ((index + 1) % period === 0 ? "full_attention" : "sliding_attention"));
}
