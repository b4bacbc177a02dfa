import { type Findings, INSPECTIONS } from "../model/inspect.ts";
import { noting, type Told } from "./told.ts";
import { serve, type Transferred } from "./worker-server.ts";

/** What the worker that reads a model's files is asked. */
export interface InspectionCall {
  question: keyof Findings;
  path: string;
}

/** What it answers. */
export interface Inspected<Question extends keyof Findings = keyof Findings> {
  found: Findings[Question];
  warnings: Told[];
}

serve(() => async ({ question, path }: InspectionCall): Promise<Transferred> => {
  const warnings: Told[] = [];
  const found = await INSPECTIONS[question](path, noting(warnings));
  return { result: { found, warnings } satisfies Inspected, transfer: [] };
});
