import { KvasirWarning, type Warn, type WarningCode } from "../errors.ts";

/** A warning as a thread hands it on: structured clone would make a plain error of it. */
export interface Told {
  code: WarningCode;
  message: string;
}

/** What a thread warns with: `warnings` gets what is told. */
export function noting(warnings: Told[]): Warn {
  return ({ code, message }) => void warnings.push({ code, message });
}

/** Gives `warn` what a thread has noted. */
export function tellAll(warnings: readonly Told[], warn: Warn): void {
  for (const { code, message } of warnings) warn(new KvasirWarning(code, message));
}
