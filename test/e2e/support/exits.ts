import { expect } from "vitest";
import { runScript } from "../../addon/support/run.ts";
import { Random } from "../../support/reference.ts";

/** How a process ends while an engine works (exits.mjs), and the exit code or signal that it then has. */
const ENDS = {
  exit: "7",
  exitHandler: "7",
  throw: "1",
  reject: "1",
  SIGINT: "SIGINT",
  SIGTERM: "SIGTERM",
  SIGKILL: "SIGKILL",
  handled: "0",
  close: "0",
  closeTwice: "0",
  drop: "0",
  terminate: "0",
  workerExits: "0",
  workerThrows: "0",
  mainExits: "7",
  oneOfTwo: "0",
} as const;
const MOMENTS = ["opening", "prefill", "decode", "rendering", "scoring", "processor"] as const;

/** Ends that print why the process died. */
const TOLD: readonly string[] = ["throw", "reject"];

/** Each end comes once in 16 seeds, at each moment once in 96; the rest is random. */
function randomExit(seed: number): { moment: string; end: keyof typeof ENDS; delayMs: number; options: object } {
  const [random, ends] = [new Random(seed), Object.keys(ENDS) as (keyof typeof ENDS)[]];
  const end = ends[seed % ends.length]!;
  return {
    moment: MOMENTS[(seed + Math.floor(seed / ends.length)) % MOMENTS.length]!,
    end,
    delayMs: random.int(60),
    options: {
      threads: 1 + random.int(3),
      // A process waits for the steps of an engine that nobody closes; all other ends are to cut short one that takes a second.
      maxBatchTokens: [16, 512, end === "drop" ? 512 : 8192][random.int(3)],
      ...(random.int(3) === 0 && { speculate: { lookup: true, draft: "tales" } }),
    },
  };
}

/** Runs the exits of the seeds from 0 on; none may take longer than `mostMs` from its event on. Returns a summary. */
export async function runExits(count: number, mostMs: number): Promise<string> {
  const times: number[] = [];
  for (let seed = 0; seed < count; seed++) {
    const exit = randomExit(seed);
    const { status, output } = await runScript("../../e2e/support/exits.mjs", [JSON.stringify(exit)], ["--expose-gc", "--no-warnings"]);
    const now = Date.now();
    const begins = /begins (\d+)\n/;
    const rest = output.replace(begins, "");
    const told = JSON.stringify({ seed, ...exit, output });
    expect(status, told).toBe(ENDS[exit.end]);
    if (TOLD.includes(exit.end)) expect(rest, told).toContain("Error: on purpose");
    else expect(rest, told).toBe("");
    expect(output, told).toMatch(begins);
    times.push(now - Number(begins.exec(output)![1]));
    expect(times.at(-1), told).toBeLessThan(mostMs);
  }
  times.sort((a, b) => a - b);
  return `${count} exits: half took at most ${times[count >> 1]} ms, the slowest ${times.at(-1)} ms`;
}
