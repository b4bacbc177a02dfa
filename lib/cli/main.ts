#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { KvasirError } from "../errors.ts";
import { nativeError } from "../native/addon.ts";
import { type Arguments, readArguments } from "./arguments.ts";
import { bench } from "./bench.ts";
import { evaluateFile } from "./eval.ts";
import { pull } from "./pull.ts";
import { run } from "./run.ts";

const HELP = `kvasir: large language models inside Node.js

  kvasir run PROMPT        continue a text
  kvasir bench             measure prefill and decode
  kvasir eval --text FILE  perplexity of a text, by llama.cpp's protocol
  kvasir pull NAME         download a model of the Hugging Face hub, and say where it is

model, for every command but pull
  --model MODEL            "tales" (bundled, default), a Hugging Face directory, a .gguf file, or a name on the hub
  --device NAME            auto, cpu, cuda or cuda:N
  --threads N              threads that compute (default: all cores)
  --isa NAME               auto, portable, avx2, avx512 or avx512_bf16
  --compute KIND           auto, f32, bf16 or int8
  --kv-type TYPE           f32, f16 or bf16
  --max-context N          tokens that a request may have (default: what the model was trained for)
run
  --max-tokens N           tokens to write at most (default: what the context holds)
  --temperature X          0 takes the most probable token
  --seed N                 the same seed, the same text
  --top-k N  --top-p X  --min-p X  --typical-p X
  --repetition-penalty X  --presence-penalty X  --frequency-penalty X
  --stop TEXT  --min-tokens N  --ignore-eos
run and bench
  --draft MODEL            a smaller model of the same tokenizer that guesses tokens
  --lookup                 guesses that the text goes on as it did before
bench
  --prompt 128,512         tokens of each prompt
  --tokens 64              tokens to decode after it
  --batch 1,8,16           requests at once
  --context 0              tokens in each request's cache before its prompt
a name on the hub: ORG/NAME, ORG/NAME@REVISION, ORG/NAME:QUANTIZATION; hf:ORG/NAME where there is such a path, too.
  What is missing is downloaded. HF_TOKEN for models that need one, HF_HOME or HF_HUB_CACHE for where they are kept,
  HF_ENDPOINT for another hub, HF_HUB_OFFLINE=1 to ask none
all
  --json                   one JSON value on stdout
  --help, --version
`;

const COMMANDS: Readonly<Record<string, (args: Arguments, signal: AbortSignal) => Promise<void>>> = {
  run,
  bench,
  eval: evaluateFile,
  pull,
};

/** Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. */
async function main(): Promise<number> {
  const interrupt = interruption();
  try {
    await act(readArguments(process.argv.slice(2)), interrupt);
    return 0;
  } catch (error) {
    if (interrupt.aborted) return 130;
    const { code, message } = error instanceof KvasirError ? error : nativeError(error);
    process.stderr.write(`kvasir: ${code} ${message.replace(/\s*\n\s*/g, " ")}\n`);
    return code === "INVALID_ARGUMENT" ? 2 : 1;
  }
}

/** A Ctrl-C may arrive twice, from the terminal and from a parent process. Signals this close count as one; chosen. */
const SAME_INTERRUPT_MS = 1000;

/** Aborts at the first Ctrl-C; the next one ends the process at once. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  let first = 0;
  process.on("SIGINT", () => {
    if (controller.signal.aborted && performance.now() - first > SAME_INTERRUPT_MS) process.exit(130);
    if (!controller.signal.aborted) first = performance.now();
    controller.abort();
  });
  return controller.signal;
}

async function act(args: Arguments, signal: AbortSignal): Promise<void> {
  if (args.options.version === true) return say(`${version()}\n`);
  if (args.options.help === true) return say(HELP);
  const name = args.words.shift();
  if (name === undefined)
    throw new KvasirError("INVALID_ARGUMENT", "a command is missing; expected run, bench, eval or pull (kvasir --help describes them)");
  if (!Object.hasOwn(COMMANDS, name))
    throw new KvasirError("INVALID_ARGUMENT", `there is no command ${name}; expected run, bench, eval or pull`);
  await COMMANDS[name]!(args, signal);
}

function say(text: string): void {
  process.stdout.write(text);
}

function version(): string {
  return (JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string }).version;
}

// Who reads the output may leave early (`| head`): that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
process.exitCode = await main();
