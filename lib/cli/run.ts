import type { Timings, Usage } from "../api/completion.ts";
import type { GenerateParams } from "../api/params.ts";
import type { Prompt } from "../engine.ts";
import { counted, KvasirError } from "../errors.ts";
import type { Arguments } from "./arguments.ts";
import type { Command } from "./command.ts";
import { readStdin } from "./input.ts";
import type { Interrupts } from "./interrupts.ts";
import { ENGINE_OPTIONS, generateParams, SAMPLING_OPTIONS, SPECULATE_OPTIONS } from "./options.ts";
import { type Session, withEngine } from "./session.ts";
import { StatusLine } from "./status-line.ts";

/** `kvasir run PROMPT`: the text on stdout as it comes, figures on stderr; with --json one object on stdout. */
export const RUN: Command = {
  usage: "run PROMPT",
  summary: "continue a text; - reads it from stdin",
  details: "Words of PROMPT are joined by spaces. From stdin one line end at the very end is dropped.\n",
  groups: [
    {
      title: "prompt",
      options: { system: { value: "TEXT", help: "PROMPT is a user's message after this one, in the model's chat template" } },
    },
    ENGINE_OPTIONS,
    SAMPLING_OPTIONS,
    SPECULATE_OPTIONS,
  ],
  downloads: true,
  run,
};

async function run(args: Arguments, { signal }: Interrupts): Promise<void> {
  const params = { ...generateParams(args), signal };
  const words = await promptWords(args, signal);
  const system = args.text("system");
  const prompt = system === undefined ? words : { messages: [message("system", system), message("user", words)] };
  await withEngine(args, signal, async (session) => {
    if (args.has("json")) await writeJson(session, prompt, params);
    else await stream(session, prompt, params);
  });
}

function message(role: string, content: string): { role: string; content: string } {
  return { role, content };
}

async function promptWords({ words }: Arguments, signal: AbortSignal): Promise<string> {
  if (words.length === 0)
    throw new KvasirError("INVALID_ARGUMENT", "run needs a PROMPT, a text to continue: kvasir run 'Once upon a time', or - for stdin");
  const isStdin = words.length === 1 && words[0] === "-";
  return isStdin ? (await readStdin(signal)).replace(/\r?\n$/, "") : words.join(" ");
}

async function writeJson({ engine }: Session, prompt: Prompt, params: GenerateParams): Promise<void> {
  const status = new StatusLine();
  let text = "";
  const tokens: number[] = [];
  try {
    for await (const { finishReason, usage, timings, ...piece } of engine.stream(prompt, params)) {
      text += piece.text;
      for (const token of piece.tokens) tokens.push(token);
      status.show(`writing: ${counted(tokens.length, "token")}`);
      if (finishReason === undefined) continue;
      status.clear();
      process.stdout.write(`${JSON.stringify({ text, tokens, finishReason, usage, timings })}\n`);
    }
  } finally {
    status.clear();
  }
}

/** On a terminal a text stands, dimmed, before its continuation; elsewhere stdout has what the model wrote and a newline. */
async function stream({ engine, loadMs }: Session, prompt: Prompt, params: GenerateParams): Promise<void> {
  let started = process.stdout.isTTY && typeof prompt === "string";
  if (started) process.stdout.write(`\x1b[2m${prompt}\x1b[22m`);
  let last = "";
  try {
    for await (const { text, finishReason, usage, timings } of engine.stream(prompt, params)) {
      started = true;
      process.stdout.write(text);
      if (finishReason !== undefined) last = `loaded in ${loadMs.toFixed(0)} ms, ${figures(usage, timings)}, ${ending(finishReason)}`;
    }
  } finally {
    if (started) process.stdout.write("\n");
  }
  process.stderr.write(`\n${last}\n`);
}

/** What an answer took, in words. */
export function figures(usage: Usage, timings: Timings): string {
  return [
    counted(usage.promptTokens, "prompt token"),
    `first token after ${timings.timeToFirstTokenMs.toFixed(0)} ms`,
    `${counted(usage.completionTokens, "token")} at ${timings.tokensPerSecond.toFixed(0)} tokens/s`,
    ...(usage.draftedTokens > 0 ? [guessesOf(timings)] : []),
  ].join(", ");
}

function ending(finishReason: string): string {
  return finishReason === "stop" ? "ended by itself" : "ended at its length";
}

/** How well tokens were guessed, in words. */
export function guessesOf({ acceptanceRate, acceptedLength }: Pick<Timings, "acceptanceRate" | "acceptedLength">): string {
  return `${(100 * acceptanceRate).toFixed(0)} % of guesses right, ${acceptedLength.toFixed(1)} tokens at once where any were made`;
}
