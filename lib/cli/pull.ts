import { emitWarning, KvasirError } from "../errors.ts";
import { hubNameOf, showName } from "../hub/names.ts";
import { openFromHub } from "../hub/open.ts";
import { hubSettings } from "../hub/settings.ts";
import type { Arguments } from "./arguments.ts";
import type { Command } from "./command.ts";
import type { Interrupts } from "./interrupts.ts";
import { Progress } from "./progress.ts";

/** `kvasir pull NAME`: downloads a model of the hub; its path in the cache on stdout, with --json in an object. */
export const PULL: Command = {
  usage: "pull NAME",
  summary: "download a model of the Hugging Face hub, and say where it is",
  groups: [],
  downloads: true,
  run: pull,
};

async function pull(args: Arguments, { signal }: Interrupts): Promise<void> {
  const [text, ...others] = args.words;
  if (text === undefined || others.length > 0)
    throw new KvasirError("INVALID_ARGUMENT", "pull needs one name, ORG/NAME[@REVISION][:QUANTIZATION]: kvasir pull Qwen/Qwen3-0.6B");
  const name = hubNameOf(text);
  const progress = new Progress(showName(name));
  try {
    const onProgress: Progress["report"] = (step) => progress.report(step);
    const path = await openFromHub(name, await hubSettings(), { textOnly: false, warn: emitWarning, signal, onProgress });
    process.stdout.write(`${args.has("json") ? JSON.stringify({ model: showName(name), path }) : path}\n`);
  } finally {
    progress.clear();
  }
}
