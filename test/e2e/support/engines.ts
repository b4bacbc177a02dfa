import { afterAll } from "vitest";
import type { EngineOptions } from "../../../lib/api/options.ts";
import { createEngine, type Engine } from "../../../lib/engine.ts";
import { type Isa, type NativeModule, native } from "../../../lib/native/addon.ts";
import { openParts } from "../../../lib/run/parts.ts";
import type { SpeculationTrial } from "../../../lib/run/speculate.ts";
import { ANY_THREADS } from "../../support/any-threads.ts";

/** The addon whose engines these tests open: the CPU's, those that behave like a device (`npm run test:device`) or a GPU's (`test:gpu`). */
async function addonOf(device: string | undefined): Promise<NativeModule> {
  if (device === undefined) return native();
  const { cudaAddon, deviceAddon } = await import("../../support/addon.ts");
  return device === "cuda" ? cudaAddon : deviceAddon;
}

const addon: NativeModule = await addonOf(process.env.KVASIR_TEST_DEVICE);

/** Instruction sets of this machine, slowest first; one where they make no difference. */
export const ISAS: readonly Isa[] = process.env.KVASIR_TEST_DEVICE === "cuda" ? ["portable"] : addon.isas();

/** An engine of `module`, by default of the addon that these tests are about. */
export async function open(
  model: string,
  options?: EngineOptions,
  module: NativeModule = addon,
  trial?: SpeculationTrial,
): Promise<Engine> {
  return createEngine({ ...(await openParts(model, options, { ...module, ...ANY_THREADS })), ...(trial && { trial }) });
}

/** The arithmetic that references are compared with. */
export const EXACT: EngineOptions = { compute: "f32", kvType: "f32" };

/** An engine that is closed when the test file ends, if not before. */
export async function openEngine(model: string, options?: EngineOptions, trial?: SpeculationTrial): Promise<Engine> {
  const engine = await open(model, options, addon, trial);
  afterAll(() => engine.close());
  return engine;
}

/** Runs `work` with an engine and closes it. */
export async function withEngine<T>(
  model: string,
  options: EngineOptions,
  work: (engine: Engine) => Promise<T>,
  trial?: SpeculationTrial,
): Promise<T> {
  const engine = await open(model, options, addon, trial);
  try {
    return await work(engine);
  } finally {
    await engine.close();
  }
}

/** What an engine holds of requests: zeros once all have ended. */
export function held(engine: Engine): { requestsRunning: number; requestsWaiting: number; pagesUsed: number; kvCacheUsedBytes: number } {
  const { requestsRunning, requestsWaiting, pagesUsed, kvCacheUsedBytes } = engine.stats();
  return { requestsRunning, requestsWaiting, pagesUsed, kvCacheUsedBytes };
}

/** What {@link held} should be at rest. */
export const NOTHING = { requestsRunning: 0, requestsWaiting: 0, pagesUsed: 0, kvCacheUsedBytes: 0 } as const;
