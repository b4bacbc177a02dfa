import { show } from "../../errors.ts";
import { type Config, LIMITS } from "../config.ts";
import type { LayerPlan } from "../dense.ts";

/** What a layer sees: transformers' names. */
export type LayerType = "full_attention" | "sliding_attention";

/** Tokens of the windows, 0 for none: GGUF's 0 and config.json's null. */
export function windowOf(config: Config): number {
  return Math.min(config.integer("sliding_window", { min: 0, max: Number.MAX_SAFE_INTEGER }, 0), LIMITS.contextLength);
}

/** `layer_types` of a config, one for each layer; `undefined` if it has none. */
function layerTypes(config: Config, layers: number): LayerType[] | undefined {
  const types = config.value("layer_types");
  if (types === undefined) return undefined;
  if (!Array.isArray(types) || types.length !== layers)
    throw config.invalid("layer_types", `is ${show(types)}; expected an array of ${layers} names, num_hidden_layers`);
  for (const type of types) if (type !== "full_attention" && type !== "sliding_attention") throw config.unsupported("layer_types", type);
  return types;
}

/**
 * Layers where every `period`th sees everything and the others a window, unless a config lists them, gives a period, or (GGUF) says of each
 * whether it has a window. Without a window all see everything.
 */
export function periodicTypes(config: Config, layers: number, period: number): LayerType[] {
  const pattern = config.value("sliding_window_pattern");
  const listed = layerTypes(config, layers) ?? (Array.isArray(pattern) ? typesOfFlags(config, pattern, layers) : undefined);
  if (listed !== undefined) return listed;
  if (windowOf(config) === 0) return repeat(layers, () => "full_attention");
  const every = config.integer("sliding_window_pattern", { min: 1, max: LIMITS.layers }, period);
  return repeat(layers, (index) => ((index + 1) % every === 0 ? "full_attention" : "sliding_attention"));
}

/** Qwen's layers: where windows are asked for, those from `max_window_layers` on have one, unless a config lists them. */
export function windowsOfQwen(config: Config, layers: number): LayerPlan[] {
  const windowed = config.boolean("use_sliding_window", false) && windowOf(config) > 0;
  const first = config.integer("max_window_layers", { min: 0, max: LIMITS.layers }, layers);
  const types =
    typesIfWindowed(config, layers, windowed) ??
    repeat(layers, (index) => (windowed && index >= first ? "sliding_attention" : "full_attention"));
  return planOf(config, types, { full_attention: 0, sliding_attention: 0 });
}

/** `layer_types` of a config that has another setting to switch windows on. */
export function typesIfWindowed(config: Config, layers: number, windowed: boolean): LayerType[] | undefined {
  const listed = layerTypes(config, layers);
  if (!windowed && listed?.includes("sliding_attention"))
    throw config.invalid("layer_types", "has sliding_attention; expected none, as use_sliding_window and sliding_window give no window");
  return listed;
}

/** Plans of such layers; `ropes` has that of each type. */
export function planOf(config: Config, types: readonly LayerType[], ropes: Readonly<Record<LayerType, number | undefined>>): LayerPlan[] {
  const window = windowOf(config);
  if (window === 0 && types.includes("sliding_attention"))
    throw config.invalid("sliding_window", "is missing; expected tokens, as there are layers of type sliding_attention");
  return types.map((type) => ({ window: type === "sliding_attention" ? window : 0, rope: ropes[type] }));
}

function typesOfFlags(config: Config, flags: readonly unknown[], layers: number): LayerType[] {
  if (flags.length !== layers || flags.some((flag) => typeof flag !== "boolean"))
    throw config.invalid("sliding_window_pattern", `is ${show(flags)}; expected a number or ${layers} times true or false`);
  return flags.map((flag) => (flag === true ? "sliding_attention" : "full_attention"));
}

function repeat(count: number, type: (index: number) => LayerType): LayerType[] {
  return Array.from({ length: count }, (_, index) => type(index));
}
