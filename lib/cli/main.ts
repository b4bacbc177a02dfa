#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { KvasirError } from "../errors.ts";
import { type Arguments, readArguments } from "./arguments.ts";
import { bench } from "./bench.ts";
import { evaluateFile } from "./eval.ts";
import { run } from "./run.ts";

const HELP = `kvasir: large language models inside Node.js

  kvasir run PROMPT        continue a text
  kvasir bench             measure prefill and decode
  kvasir eval --text FILE  perplexity of a text, by llama.cpp's protocol

model
  --model PATH             "tales" (bundled, default), a Hugging Face directory or a .gguf file
  --threads N              threads that compute (default: all cores)
  --compute KIND           auto, f32, bf16 or int8
  --kv-type TYPE           f32, f16 or bf16
  --context N              tokens that a sequence may hold
  --device NAME            auto or cpu
  --isa NAME               auto, portable, avx2 or avx512
run
  --max-tokens N  --temperature X  --top-k N  --top-p X  --min-p X  --repetition-penalty X  --seed N
bench
  --prompt 128,512         tokens of a prompt
  --tokens 64              tokens to decode
  --batch 1,8,16           requests at once
all
  --json                   one JSON value on stdout
  --help, --version
`;

const COMMANDS: Readonly<Record<string, (args: Arguments, signal: AbortSignal) => Promise<void>>> = { run, bench, eval: evaluateFile };

/** Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. */
async function main(): Promise<number> {
  let args: Arguments;
  try {
    args = readArguments(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`kvasir: ${(error as Error).message}\n`);
    return 2;
  }
  const command = args.words.shift();
  if (args.options.version === true) return say(`${version()}\n`, 0);
  if (args.options.help === true) return say(HELP, 0);
  const action = command === undefined || !Object.hasOwn(COMMANDS, command) ? undefined : COMMANDS[command];
  if (action === undefined) {
    process.stderr.write(command === undefined ? HELP : `kvasir: there is no command ${command}; run, bench and eval are right\n`);
    return 2;
  }
  return act(action, args);
}

async function act(action: (args: Arguments, signal: AbortSignal) => Promise<void>, args: Arguments): Promise<number> {
  const interrupt = new AbortController();
  process.once("SIGINT", () => interrupt.abort()); // a second one ends the process at once
  try {
    await action(args, interrupt.signal);
    return 0;
  } catch (error) {
    if (interrupt.signal.aborted) {
      process.stderr.write("\n");
      return 130;
    }
    const code = error instanceof KvasirError ? `${error.code} ` : "";
    process.stderr.write(`kvasir: ${code}${(error as Error).message}\n`);
    return error instanceof KvasirError && error.code === "INVALID_ARGUMENT" ? 2 : 1;
  }
}

function say(text: string, code: number): number {
  process.stdout.write(text);
  return code;
}

function version(): string {
  return (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }).version;
}

process.exitCode = await main();
