import type { EngineOptions } from "../api/options.ts";
import { Engine } from "../engine.ts";
import type { Arguments } from "./arguments.ts";
import { engineOptions } from "./options.ts";
import { Progress } from "./progress.ts";

/** An open engine for one command. */
export interface Session {
  engine: Engine;
  /** The model as the command line names it. */
  model: string;
  /** From the command's start until the engine was ready. */
  loadMs: number;
}

/** Opens the model that the command line names (default: the bundled one), runs `body`, and closes whatever happens. */
export async function withEngine(
  args: Arguments,
  signal: AbortSignal,
  body: (session: Session) => Promise<void>,
  more: EngineOptions = {},
  model: string = args.text("model") ?? "tales",
): Promise<void> {
  const start = performance.now();
  const progress = new Progress(model);
  let engine: Engine;
  try {
    engine = await Engine.open(model, { ...engineOptions(args), ...more, signal, onProgress: (step) => progress.report(step) });
  } finally {
    progress.clear();
  }
  try {
    await body({ engine, model, loadMs: performance.now() - start });
  } finally {
    await engine.close();
  }
}
