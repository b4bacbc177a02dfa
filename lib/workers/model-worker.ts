import type { WarningCode } from "../errors.ts";
import { type Findings, INSPECTIONS } from "../model/inspect.ts";
import { serve, type Transferred } from "./worker-server.ts";

/** What the worker that reads a model's files is asked. */
export interface InspectionCall {
  question: keyof Findings;
  path: string;
}

/** What it answers. */
export interface Inspected<Question extends keyof Findings = keyof Findings> {
  found: Findings[Question];
  warnings: { code: WarningCode; message: string }[];
}

serve(() => async ({ question, path }: InspectionCall): Promise<Transferred> => {
  const warnings: Inspected["warnings"] = [];
  const found = await INSPECTIONS[question](path, ({ code, message }) => void warnings.push({ code, message }));
  return { result: { found, warnings } satisfies Inspected, transfer: [] };
});
