import type { ErrorCode } from "../../errors.ts";
import { oneLine } from "../format.ts";

/** What was found out about one thing that kvasir needs. */
export interface Finding {
  name: string;
  /** A failure stops kvasir from running; a warning, from something that it could do. */
  state: "ok" | "warning" | "failure";
  /** For people, in one line. */
  text: string;
  /** What to do about it, unless all is well or the text says it. */
  cure?: string;
  /** Of a failure. */
  code?: ErrorCode;
  /** The same for programs; sizes are in bytes. */
  facts: Readonly<Record<string, unknown>>;
}

const MARKS = { ok: "ok     ", warning: "warning", failure: "FAILED " } as const;

/** A line for each finding, and one for each cure. */
export function showFindings(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  return findings
    .map(({ name, state, text, cure }) => {
      const indent = " ".repeat(MARKS.ok.length + width + 4);
      return `${MARKS[state]}  ${name.padEnd(width)}  ${oneLine(text)}\n${cure === undefined ? "" : `${indent}-> ${cure}\n`}`;
    })
    .join("");
}
