import { KvasirError } from "../../errors.ts";
import type { Arguments } from "../arguments.ts";
import { locateCached } from "../cached.ts";
import type { Command } from "../command.ts";
import { MODEL_OPTION, modelWord } from "../options.ts";
import { withStatus } from "../status-line.ts";
import { inspectionOf } from "./inspection.ts";
import { showInspection } from "./show.ts";

/** `kvasir inspect MODEL`: what a model's files hold. */
export const INSPECT: Command = {
  usage: "inspect MODEL",
  summary: "what a model's files hold: architecture, tensors, tokenizer, template",
  details: "Files' headers alone are read. Ends with 1 where a file is broken or kvasir doesn't run the model, and says why.\n",
  groups: [{ title: "output", options: { tensors: { help: "list every tensor: type, shape, bytes, place in its file" } } }, MODEL_OPTION],
  run: inspect,
};

async function inspect(args: Arguments): Promise<void> {
  const { path } = await locateCached(modelWord(args, "inspect"));
  const found = await withStatus(`reading ${path}`, () => inspectionOf(path, args.has("tensors")));
  process.stdout.write(args.has("json") ? `${JSON.stringify(found)}\n` : showInspection(found));
  const [problem] = found.problems;
  if (problem !== undefined) throw new KvasirError(problem.code, problem.message);
}
