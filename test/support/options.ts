import type { Machine } from "../../lib/api/device.ts";
import { type CheckedOptions, checkOptions, copyOptions, type EngineOptions, optionsBeforeOpen } from "../../lib/api/options.ts";
import type { ModelSource } from "../../lib/model/spec.ts";

/** An engine's options as opening it checks them. */
export function checkedOptions(
  callers: EngineOptions | undefined,
  source: ModelSource,
  machine: Machine,
  draft?: ModelSource,
): CheckedOptions {
  const given = copyOptions(callers);
  return checkOptions(given, { opening: optionsBeforeOpen(given), source, draft, machine });
}
