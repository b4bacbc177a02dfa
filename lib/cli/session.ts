import { Engine } from "../engine.ts";
import type { EngineOptions } from "../options.ts";
import { type Arguments, engineOptions } from "./arguments.ts";

/** An open engine for one command. `signal` aborts at Ctrl-C. */
export interface Session {
  engine: Engine;
  signal: AbortSignal;
  loadMs: number;
}

/** Loading that takes longer than this shows its progress. */
const QUIET_MS = 500;

/** Opens the model that the command line names (default: the bundled one), runs `body`, and closes whatever happens. */
export async function withEngine(
  args: Arguments,
  signal: AbortSignal,
  body: (session: Session) => Promise<void>,
  more: EngineOptions = {},
): Promise<void> {
  const start = performance.now();
  const model = typeof args.options.model === "string" ? args.options.model : "tales";
  let shown = false;
  const onProgress = ({ loadedBytes, totalBytes }: { loadedBytes: number; totalBytes: number }): void => {
    if (!process.stderr.isTTY || performance.now() - start < QUIET_MS) return;
    shown = true;
    process.stderr.write(`\rloading ${model}: ${Math.floor((100 * loadedBytes) / totalBytes)} %`);
  };
  const engine = await Engine.open(model, { ...engineOptions(args), ...more, signal, onProgress });
  if (shown) process.stderr.write("\r\x1b[K");
  try {
    await body({ engine, signal, loadMs: performance.now() - start });
  } finally {
    await engine.close();
  }
}
