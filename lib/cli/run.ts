import type { Timings, Usage } from "../api/completion.ts";
import type { GenerateParams } from "../api/params.ts";
import { KvasirError } from "../errors.ts";
import { type Arguments, generateParams } from "./arguments.ts";
import { type Session, withEngine } from "./session.ts";

/** `kvasir run PROMPT`: the text on stdout as it comes, figures on stderr; with --json one object on stdout. */
export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  if (args.words.length === 0) {
    throw new KvasirError("INVALID_ARGUMENT", "run needs a PROMPT, a text to continue: kvasir run 'Once upon a time'");
  }
  const prompt = args.words.join(" ");
  const params = { ...generateParams(args), signal };
  await withEngine(args, signal, async (session) => {
    if (args.options.json !== true) return stream(session, prompt, params);
    const { text, tokens, finishReason, usage, timings } = await session.engine.generate(prompt, params);
    process.stdout.write(`${JSON.stringify({ text, tokens, finishReason, usage, timings })}\n`);
  });
}

/** On a terminal the prompt stands, dimmed, before its continuation; elsewhere stdout has what the model wrote and a newline. */
async function stream({ engine, loadMs }: Session, prompt: string, params: GenerateParams): Promise<void> {
  if (process.stdout.isTTY) process.stdout.write(`\x1b[2m${prompt}\x1b[22m`);
  let started = process.stdout.isTTY;
  let last = "";
  try {
    for await (const { text, finishReason, usage, timings } of engine.stream(prompt, params)) {
      started = true;
      process.stdout.write(text);
      if (finishReason !== undefined) last = figures(usage!, timings!, finishReason, loadMs);
    }
  } finally {
    if (started) process.stdout.write("\n");
  }
  process.stderr.write(`\n${last}\n`);
}

function figures(usage: Usage, timings: Timings, finishReason: string, loadMs: number): string {
  return [
    `loaded in ${loadMs.toFixed(0)} ms`,
    `${usage.promptTokens} prompt tokens`,
    `first token after ${timings.timeToFirstTokenMs.toFixed(0)} ms`,
    `${usage.completionTokens} tokens at ${timings.tokensPerSecond.toFixed(0)} tokens/s`,
    ...(usage.draftedTokens > 0 ? [guessesOf(timings)] : []),
    finishReason === "stop" ? "ended by itself" : "ended at its length",
  ].join(", ");
}

/** How well tokens were guessed, in words. */
export function guessesOf({ acceptanceRate, acceptedLength }: Pick<Timings, "acceptanceRate" | "acceptedLength">): string {
  return `${(100 * acceptanceRate).toFixed(0)} % of guesses right, ${acceptedLength.toFixed(1)} tokens at once where any were made`;
}
