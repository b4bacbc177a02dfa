#!/usr/bin/env node
import "../package/node-version.ts";
import { KvasirError } from "../errors.ts";
import { nativeError } from "../native/addon.ts";
import { thePackage } from "../package/folder.ts";
import { readArguments } from "./command-line.ts";
import { COMMANDS } from "./commands.ts";
import { oneLine } from "./format.ts";
import { commandHelp, generalHelp } from "./help.ts";
import { Interrupts } from "./interrupts.ts";

/** Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. */
async function main(): Promise<number> {
  const interrupts = new Interrupts();
  try {
    await act(process.argv.slice(2), interrupts);
    return 0;
  } catch (error) {
    if (interrupts.happened) return 130;
    const { code, message } = error instanceof KvasirError ? error : nativeError(error);
    process.stderr.write(`kvasir: ${code} ${oneLine(message)}\n`);
    return code === "INVALID_ARGUMENT" ? 2 : 1;
  }
}

async function act(line: readonly string[], interrupts: Interrupts): Promise<void> {
  const { command, help, args } = readArguments(line, COMMANDS);
  if (args.has("version")) return say(`${thePackage().version}\n`);
  if (command === undefined) return say(generalHelp(COMMANDS));
  if (help) return say(commandHelp(command, COMMANDS));
  await COMMANDS[command]!.run(args, interrupts);
}

function say(text: string): void {
  process.stdout.write(text);
}

// Who reads the output may leave early (`| head`): that is no failure.
process.stdout.on("error", ({ code, message }: NodeJS.ErrnoException) => {
  if (code === "EPIPE") process.exit(0);
  process.stderr.write(`kvasir: the output cannot be written: ${message}\n`, () => process.exit(1));
});
process.exitCode = await main();
