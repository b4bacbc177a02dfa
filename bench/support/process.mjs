import { spawnSync } from "node:child_process";

const LINES = 12; // of standard error: the failure, behind whatever was logged before

/** What a script says in its last line, in JSON, when a process of its own runs it, with `env` in its environment. */
export function runScript(script, args, env = {}) {
  const command = [script, ...args.map(String)];
  const { status, stdout, stderr } = spawnSync(process.execPath, command, {
    encoding: "utf8",
    env: { ...process.env, ...env },
    maxBuffer: 2 ** 28,
  });
  if (status !== 0) throw new Error(`node ${command.join(" ")} failed:\n${stderr.trim().split("\n").slice(-LINES).join("\n")}`);
  return JSON.parse(stdout.trim().split("\n").at(-1));
}
