import type { ModelSource } from "../model/spec.ts";
import type { DeviceConfig } from "../native/addon.ts";
import { GPU_RESERVE } from "./device.ts";
import { workspaceBytes } from "./footprint.ts";

/** Chosen: enough rows for matrix products to be fast; more would make none faster, but the wait for the next step longer. */
const CPU_TOKENS = 512;

/** The same of a GPU: on an H200 an 8B model takes prompts some 5 % faster by 4096 tokens a step than by 1024. */
const GPU_TOKENS = [4096, 2048] as const;

/** Where a GPU has no room for these, or layers see a window: a sequence holds pages for it and a whole step. */
const FEW_GPU_TOKENS = 1024;

/** Share of what is kept free on a GPU that a step may compute in: the rest is for its context and graphs. Chosen. */
const WORKSPACE_SHARE = 0.75;

/** Default of `maxBatchTokens`, of a model and the one that guesses for it. */
export function defaultBatchTokens({ kind }: DeviceConfig, models: readonly ModelSource[]): number {
  if (kind === "cpu") return CPU_TOKENS;
  if (models.some(({ spec }) => spec.cacheGroups.some((group) => group.kind !== "all"))) return FEW_GPU_TOKENS;
  const bytes = (tokens: number): number => models.reduce((sum, model) => sum + workspaceBytes(model, tokens), 0);
  return GPU_TOKENS.find((tokens) => bytes(tokens) <= WORKSPACE_SHARE * GPU_RESERVE) ?? FEW_GPU_TOKENS;
}
