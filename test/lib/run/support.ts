import { afterEach, expect } from "vitest";
import type { GenerateParams } from "../../../lib/api/params.ts";
import type { Engine } from "../../../lib/engine.ts";
import type { ErrorCode } from "../../../lib/errors.ts";
import { type FakeEngine, fakeEngine } from "../../support/fake-engine.ts";

const open: Engine[] = [];

/** An engine on the fake native side that is closed when the test ends. */
export function create(settings?: Parameters<typeof fakeEngine>[0]): FakeEngine {
  const made = fakeEngine(settings);
  open.push(made.engine);
  return made;
}

afterEach(async () => {
  await Promise.all(open.splice(0).map((engine) => engine.close()));
});

/** No end by chance: the made-up model may sample EOS. */
export const on: GenerateParams = { ignoreEos: true };

/** Nothing runs, waits or holds a page. */
export function expectIdle(engine: Engine): void {
  const { requestsRunning, requestsWaiting, pagesUsed } = engine.stats();
  expect({ requestsRunning, requestsWaiting, pagesUsed }).toEqual({ requestsRunning: 0, requestsWaiting: 0, pagesUsed: 0 });
}

/** Waits, turn of the event loop by turn, until it is so. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}

/** An error as the native side's. */
export function failure(code: ErrorCode): Error {
  return Object.assign(new Error(`on purpose: ${code}`), { code });
}

/** Code of the error that it rejects with; "none" if it resolves. */
export function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "none",
    (error) => error.code ?? String(error),
  );
}

/** `count` ids from 2 on, the same for a seed. */
export function promptOf(count: number, seed: number = 0): number[] {
  return Array.from({ length: count }, (_, i) => 2 + ((seed * 11 + i * (7 + seed)) % 30));
}
