import { afterAll } from "vitest";
import type { EngineOptions } from "../../../lib/api/options.ts";
import { Engine } from "../../../lib/engine.ts";
import { type Isa, native } from "../../../lib/native/addon.ts";

/** Instruction sets of this machine, slowest first. */
export const ISAS: readonly Isa[] = native().isas();

/** The arithmetic that references are compared with. */
export const EXACT: EngineOptions = { compute: "f32", kvType: "f32" };

/** An engine that is closed when the test file ends, if not before. */
export async function openEngine(model: string, options?: EngineOptions): Promise<Engine> {
  const engine = await Engine.open(model, options);
  afterAll(() => engine.close());
  return engine;
}

/** Runs `work` with an engine and closes it. */
export async function withEngine<T>(model: string, options: EngineOptions, work: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await Engine.open(model, options);
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
