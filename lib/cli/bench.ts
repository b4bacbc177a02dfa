import type { Engine } from "../engine.ts";
import { type Arguments, integers } from "./arguments.ts";
import { withEngine } from "./session.ts";

/** One figure of `kvasir bench`: the median of {@link RUNS} runs. */
export interface BenchRow {
  phase: "prefill" | "decode";
  /** Tokens of each prompt. */
  prompt: number;
  /** Requests at once. */
  batch: number;
  /** Tokens in each sequence's cache when it ends. */
  context: number;
  /** Over all requests. */
  tokensPerSecond: number;
}

const RUNS = 3;

/** `kvasir bench`: prefill and decode speed as a table, or as JSON rows. */
export async function bench(args: Arguments, signal: AbortSignal): Promise<void> {
  const prompts = integers(args, "prompt", [128, 512]);
  const tokens = integers(args, "tokens", [64])[0]!;
  const batches = integers(args, "batch", [1, 8, 16]);
  await withEngine(
    args,
    signal,
    async ({ engine }) => {
      const rows: BenchRow[] = [];
      for (const prompt of prompts) for (const batch of batches) rows.push(...(await measure(engine, prompt, tokens, batch, signal)));
      process.stdout.write(args.options.json === true ? `${JSON.stringify(rows)}\n` : table(engine, rows));
    },
    { prefixCache: false },
  );
}

/** Prefill: `batch` prompts of which one token each is sampled. Decode: `tokens` more each, from the first token to the last of all. */
async function measure(engine: Engine, prompt: number, tokens: number, batch: number, signal: AbortSignal): Promise<BenchRow[]> {
  const prefill: number[] = [];
  const decode: number[] = [];
  const score = await engine.score(Int32Array.of(0), { logits: true });
  const vocabSize = score.logits!.length;
  for (let turn = 0; turn <= RUNS; turn++) {
    const prompts = Array.from({ length: batch }, (_, i) =>
      Int32Array.from({ length: prompt }, (_, t) => ((t + 1) * 7919 + i * 104729 + turn) % vocabSize),
    );
    const speed = await timeBatch(engine, prompts, tokens, signal);
    if (turn === 0) continue; // warms caches and clocks
    prefill.push(speed.prefill);
    decode.push(speed.decode);
  }
  const context = prompt + tokens;
  return [
    { phase: "prefill", prompt, batch, context: prompt, tokensPerSecond: median(prefill) },
    { phase: "decode", prompt, batch, context, tokensPerSecond: median(decode) },
  ];
}

async function timeBatch(
  engine: Engine,
  prompts: Int32Array[],
  tokens: number,
  signal: AbortSignal,
): Promise<{ prefill: number; decode: number }> {
  const start = performance.now();
  let lastFirst = start;
  let decodedAfter = 0;
  let waiting = prompts.length;
  const stream = async (prompt: Int32Array): Promise<void> => {
    let first = true;
    for await (const chunk of engine.stream(prompt, { maxTokens: tokens + 1, temperature: 0, ignoreEos: true, signal })) {
      if (first) {
        first = false;
        waiting -= 1;
        if (waiting === 0) lastFirst = performance.now();
      } else if (waiting === 0) decodedAfter += chunk.tokens.length;
    }
  };
  await Promise.all(prompts.map(stream));
  const end = performance.now();
  const promptTokens = prompts.reduce((sum, { length }) => sum + length, 0);
  return { prefill: (promptTokens * 1000) / (lastFirst - start), decode: (decodedAfter * 1000) / (end - lastFirst) };
}

/** The middle value; of an even number the lower of the two. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1]!;
}

function table(engine: Engine, rows: readonly BenchRow[]): string {
  const { processor, threads, isa, compute, kvType } = engine.stats();
  const lines = [`${processor}, ${threads} threads, ${isa}, compute ${compute}, cache ${kvType}; medians of ${RUNS} runs`, ""];
  lines.push("phase    prompt  batch  context  tokens/s");
  for (const { phase, prompt, batch, context, tokensPerSecond } of rows) {
    lines.push(
      `${phase.padEnd(7)}  ${String(prompt).padStart(6)}  ${String(batch).padStart(5)}  ${String(context).padStart(7)}  ${tokensPerSecond.toFixed(0).padStart(8)}`,
    );
  }
  return `${lines.join("\n")}\n`;
}
