import type { NativeConfig, NativeModule, SlotConfig, StepBuffers, StepResults } from "../../../lib/native/addon.ts";

export interface TinyRow {
  slot: number;
  start: number;
  tokens: ArrayLike<number> & Iterable<number>;
  output: number;
  outputs?: number;
  next?: number;
  wantLogits?: boolean;
}

export const addon: NativeModule;
export const SHAPE: Readonly<Record<"vocab" | "hidden" | "layers" | "queryHeads" | "kvHeads" | "headSize" | "mlp" | "pageSize", number>>;
export function randomIntegers(seed: number): (below: number) => number;
export function tinyConfig(path: string, overrides?: Partial<NativeConfig>): NativeConfig;
export function slotConfig(overrides?: Partial<SlotConfig>): SlotConfig;
export function stepBuffers(rows: readonly TinyRow[], pagesPerSlot?: number): StepBuffers;
export function results(outputs: number): StepResults;
export function longStep(count?: number): StepBuffers;
