import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** How a child ended. */
export interface Ended {
  /** Exit code, or the signal's name. */
  status: string;
  /** stdout and stderr. */
  output: string;
  milliseconds: number;
}

/** Runs a script of this folder in a child process, so that an abort is a status and not the end of the tests; a minute at most. */
export function runScript(script: string, args: readonly string[], nodeOptions: readonly string[] = []): Promise<Ended> {
  const start = performance.now();
  const path = fileURLToPath(new URL(script, import.meta.url));
  const child = spawn(process.execPath, [...nodeOptions, path, ...args], { timeout: 60_000, killSignal: "SIGKILL" });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ status: String(signal ?? code), output, milliseconds: performance.now() - start }));
  });
}
