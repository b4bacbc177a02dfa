import { execFile } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect } from "vitest";
import { TEXTS, type TokenizerMutant, tokenizerMutant } from "./tokenizer-mutants.ts";

/** What open-tokenizers.mjs says of a mutant. */
interface Report {
  name: string;
  milliseconds: number;
  opened: boolean;
  results: { code?: string; message?: string; crash?: string; count?: number; same?: boolean }[];
}

/** What a mutant may end with. */
const CODES = ["FILE_INVALID", "UNSUPPORTED_TOKENIZER", "TOKENIZER_FAILED"];

/** Processor time of a call: its deadline, a fresh thread, and what V8's own threads do meanwhile. Without a deadline some would never end. */
const MOST_MS = 3000;

/** Opens the mutants of some seeds, each of which is refused, or encodes every text or refuses it; nothing else is written to the console. */
export async function expectHarmlessTokenizers(directory: string, seeds: number[]): Promise<void> {
  const mutants = new Map(seeds.map((seed) => [`seed-${seed}`, tokenizerMutant(seed)]));
  for (const [name, { text }] of mutants) {
    mkdirSync(join(directory, name));
    writeFileSync(join(directory, name, "tokenizer.json"), text);
  }
  const reports = await openAll(directory);
  // Here, since a hook has less time than thousands of directories take.
  for (const name of mutants.keys()) rmSync(join(directory, name), { recursive: true });
  expect(reports).toHaveLength(seeds.length);
  for (const report of reports) expectHarmless(report, mutants.get(report.name)!);
  // Most of them have to reach what encodes.
  expect(reports.filter(({ opened }) => opened).length).toBeGreaterThan(seeds.length / 4);
}

async function openAll(directory: string): Promise<Report[]> {
  const script = fileURLToPath(new URL("open-tokenizers.mjs", import.meta.url));
  const library = fileURLToPath(new URL("../../dist", import.meta.url));
  const run = promisify(execFile)(process.execPath, [script, library, directory, JSON.stringify(TEXTS)], { maxBuffer: 2 ** 28 });
  const { stdout, stderr } = await run;
  expect(stderr).toBe("");
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Report);
}

function expectHarmless({ name, milliseconds, opened, results }: Report, { lossless }: TokenizerMutant): void {
  expect(milliseconds, name).toBeLessThan(MOST_MS);
  results.forEach(({ code, message, crash, count, same }, i) => {
    const what = `${name}: ${JSON.stringify(TEXTS[i]?.slice(0, 20))}: ${message ?? ""}`;
    expect(crash, what).toBeUndefined();
    if (code !== undefined) expect(CODES, what).toContain(code);
    else if (lossless) expect(same, what).toBe(true);
    else if (opened && TEXTS[i]!.startsWith("Hello")) expect(count, what).toBeGreaterThan(0);
  });
}
