import { invalid } from "../check.ts";
import type { Engine } from "../engine.ts";
import { counted, KvasirError } from "../errors.ts";
import type { Arguments } from "./arguments.ts";
import type { Command } from "./command.ts";
import { readFileText } from "./input.ts";
import type { Interrupts } from "./interrupts.ts";
import { ENGINE_OPTIONS, refuseWords } from "./options.ts";
import { withEngine } from "./session.ts";
import { StatusLine } from "./status-line.ts";

/** What `kvasir eval` finds. */
export interface Evaluation {
  perplexity: number;
  /** Windows scored. */
  windows: number;
  /** Predictions scored. */
  predictions: number;
}

/** llama.cpp's protocol (tools/perplexity): windows of 512 tokens, in each the 255 predictions made at positions 256 to 510 are scored. */
const WINDOW = 512;
const FIRST_SCORED = 256;
/** Windows at once. Chosen: each fills a step of the default size, so that more would only wait. */
const AT_ONCE = 4;

/** `kvasir eval --text FILE`: perplexity of a text. */
export const EVAL: Command = {
  usage: "eval --text FILE",
  summary: "perplexity of a text, by llama.cpp's protocol",
  groups: [{ title: "text", options: { text: { value: "FILE", help: "the text to score" } } }, ENGINE_OPTIONS],
  downloads: true,
  run: evaluateFile,
};

async function evaluateFile(args: Arguments, { signal }: Interrupts): Promise<void> {
  const path = args.text("text");
  if (path === undefined) throw new KvasirError("INVALID_ARGUMENT", "eval needs --text FILE, a text to score");
  refuseWords(args, "eval", "--text FILE alone");
  const text = await readFileText(path, signal);
  await withEngine(args, signal, async ({ engine }) => {
    const { maxContext } = engine.stats();
    if (maxContext < WINDOW) throw invalid("maxContext", maxContext, `at least ${WINDOW}, the tokens of a window`);
    const status = new StatusLine();
    try {
      const result = await evaluate(engine, text, { signal, onWindow: (done, all) => status.show(`scoring: ${done} of ${all} windows`) });
      status.clear();
      const words = `perplexity ${result.perplexity.toFixed(4)} over ${result.windows} windows, ${result.predictions} predictions\n`;
      process.stdout.write(args.has("json") ? `${JSON.stringify(result)}\n` : words);
    } finally {
      status.clear();
    }
  });
}

/**
 * Perplexity of a text: consecutive windows of 512 tokens, the last partial one dropped. Where the model adds BOS, each window starts with it
 * in the place of its first token, as llama.cpp does.
 */
export async function evaluate(
  engine: Engine,
  text: string,
  { signal, onWindow }: { signal?: AbortSignal; onWindow?: (done: number, all: number) => void } = {},
): Promise<Evaluation> {
  const windows = await windowsOf(engine, text);
  let done = 0;
  const sums = await mapAtOnce(windows, AT_ONCE, async (window) => {
    const { logprobs } = await engine.score(window, signal === undefined ? {} : { signal });
    done += 1;
    onWindow?.(done, windows.length);
    return logprobs.subarray(FIRST_SCORED + 1).reduce((sum, logprob) => sum + logprob, 0);
  });
  const predictions = windows.length * (WINDOW - FIRST_SCORED - 1);
  return { perplexity: Math.exp(-sums.reduce((sum, value) => sum + value, 0) / predictions), windows: windows.length, predictions };
}

async function windowsOf(engine: Engine, text: string): Promise<Int32Array[]> {
  const [bos] = await beginning(engine);
  const body = await engine.tokenize(text, { addSpecial: false });
  const tokens = bos === undefined ? body : new Int32Array(body.length + 1);
  if (bos !== undefined) tokens.set(body, 1);
  const windows = Array.from({ length: Math.floor(tokens.length / WINDOW) }, (_, w) => tokens.slice(w * WINDOW, (w + 1) * WINDOW));
  if (windows.length === 0) {
    throw new KvasirError("INVALID_ARGUMENT", `the text has ${counted(tokens.length, "token")}; expected at least ${WINDOW}`);
  }
  if (bos !== undefined) for (const window of windows) window[0] = bos;
  return windows;
}

/** What the tokenizer adds before a text: nothing or BOS. */
async function beginning(engine: Engine): Promise<Int32Array> {
  const bare = await engine.tokenize("a", { addSpecial: false });
  const whole = await engine.tokenize("a");
  return whole.subarray(0, whole.indexOf(bare[0]!));
}

/** `Promise.all(items.map(run))`, at most `width` at a time. */
async function mapAtOnce<Item, Result>(items: readonly Item[], width: number, run: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < items.length) {
      const index = next;
      next += 1;
      results[index] = await run(items[index]!);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return results;
}
