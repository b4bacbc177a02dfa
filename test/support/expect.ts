import { expect } from "vitest";
import { type ErrorCode, KvasirError } from "../../lib/errors.ts";

/** Runs what must fail with the code, and whose message must name what is said. */
export async function expectError(work: Promise<unknown> | (() => unknown), code: ErrorCode, ...named: (string | RegExp)[]): Promise<void> {
  let error: unknown;
  try {
    await (typeof work === "function" ? work() : work);
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(KvasirError);
  const { code: found, message } = error as KvasirError;
  expect(`${found}: ${message}`).toMatch(new RegExp(`^${code}: `));
  for (const name of named) expect(message).toMatch(name);
}
