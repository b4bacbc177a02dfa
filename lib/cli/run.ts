import type { Completion } from "../completion.ts";
import { type Arguments, generateParams } from "./arguments.ts";
import { withEngine } from "./session.ts";

/** `kvasir run PROMPT`: text on stdout as it comes, figures on stderr; with --json one object on stdout. */
export async function run(args: Arguments, signal: AbortSignal): Promise<void> {
  const prompt = args.words.join(" ");
  await withEngine(args, signal, async ({ engine, loadMs }) => {
    const params = { ...generateParams(args), signal };
    if (args.options.json === true) {
      const { text, tokens, finishReason, usage, timings } = await engine.generate(prompt, params);
      process.stdout.write(`${JSON.stringify({ text, tokens, finishReason, usage, timings })}\n`);
      return;
    }
    process.stdout.write(prompt);
    for await (const chunk of engine.stream(prompt, params)) {
      process.stdout.write(chunk.text);
      if (chunk.finishReason !== undefined) process.stderr.write(`\n\n${figures(chunk as Completion, loadMs)}\n`);
    }
  });
}

function figures({ usage, timings, finishReason }: Pick<Completion, "usage" | "timings" | "finishReason">, loadMs: number): string {
  const { promptTokens, completionTokens } = usage;
  return [
    `loaded in ${loadMs.toFixed(0)} ms`,
    `${promptTokens} prompt tokens`,
    `first token after ${timings.timeToFirstTokenMs.toFixed(0)} ms`,
    `${completionTokens} tokens at ${timings.tokensPerSecond.toFixed(0)} tokens/s`,
    finishReason === "stop" ? "ended by itself" : "ended at its length",
  ].join(", ");
}
