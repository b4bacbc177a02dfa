import { memoryBytes } from "../api/memory.ts";
import { PAGE_SIZE } from "../api/pools.ts";
import { checkInteger } from "../check.ts";
import type { Engine } from "../engine.ts";
import { counted, KvasirError } from "../errors.ts";
import type { Arguments } from "./arguments.ts";
import type { Command } from "./command.ts";
import type { Interrupts } from "./interrupts.ts";
import { ENGINE_OPTIONS, refuseWords, SPECULATE_OPTIONS } from "./options.ts";
import { guessesOf } from "./run.ts";
import { withEngine } from "./session.ts";
import { StatusLine } from "./status-line.ts";

/** One figure of `kvasir bench`: the median of {@link RUNS} runs. */
export interface BenchRow {
  phase: "prefill" | "decode";
  /** Tokens of each prompt. */
  prompt: number;
  /** Requests at once. */
  batch: number;
  /** Tokens in each request's cache before its prompt. */
  context: number;
  /** Over all requests. */
  tokensPerSecond: number;
}

/** What one row of requests does: `batch` of them have `context` tokens cached, then compute `prompt` tokens, then decode `tokens`. */
interface Case {
  prompt: number;
  batch: number;
  context: number;
  tokens: number;
}

/** Timed runs of each case. Chosen: the fewest of which a median leaves out an outlier. */
const RUNS = 3;

/** `kvasir bench`: prefill and decode speed as a table, or as JSON rows. */
export const BENCH: Command = {
  usage: "bench",
  summary: "measure prefill and decode",
  groups: [
    {
      title: "cases: every combination of these lists",
      options: {
        prompt: { value: "128,512", help: "tokens of each prompt" },
        batch: { value: "1,8,16", help: "requests at once" },
        context: { value: "0", help: "tokens in each request's cache before its prompt" },
      },
    },
    { title: "of every case", options: { tokens: { value: "64", help: "tokens to decode after the prompt" } } },
    ENGINE_OPTIONS,
    SPECULATE_OPTIONS,
  ],
  downloads: true,
  run: bench,
};

async function bench(args: Arguments, { signal }: Interrupts): Promise<void> {
  refuseWords(args, "bench", "-m MODEL");
  const tokens = checkInteger("--tokens", args.number("tokens") ?? 64, 1, 2 ** 30);
  const cases = args
    .integers("context", [0], 0)
    .flatMap((context) =>
      args
        .integers("prompt", [128, 512])
        .flatMap((prompt) => args.integers("batch", [1, 8, 16]).map((batch) => ({ prompt, batch, context, tokens }))),
    );
  // Memory of the cache is taken as pages are first used, so that a large one costs nothing.
  const pools = { maxContext: Math.max(...cases.map(contextOf)), kvCacheBytes: Math.floor(memoryBytes() / 4) };
  await withEngine(
    args,
    signal,
    async ({ engine, model }) => {
      for (const one of cases) checkFits(engine, one);
      const json = args.has("json");
      const status = new StatusLine();
      if (!json) process.stdout.write(head(engine, model));
      const prompts = new Prompts((await engine.score([0], { logits: true })).logits!.length);
      const rows: BenchRow[] = [];
      for (const [index, one] of cases.entries()) {
        status.show(`measuring: case ${index + 1} of ${cases.length}`);
        const found = await measure(engine, prompts, one, signal);
        status.clear();
        if (!json) process.stdout.write(found.map(line).join(""));
        rows.push(...found);
      }
      if (json) process.stdout.write(`${JSON.stringify(rows)}\n`);
      else if (engine.stats().acceptedLength > 0) process.stdout.write(`\n${guessesOf(engine.stats())}\n`);
    },
    pools,
  );
}

/** Tokens that a request has at its end, in whole pages. */
function contextOf({ context, prompt, tokens }: Case): number {
  return Math.ceil((context + prompt + tokens + 1) / PAGE_SIZE) * PAGE_SIZE;
}

/** Refuses a case whose requests the cache does not hold all at once: they would run one after the other. */
function checkFits(engine: Engine, one: Case): void {
  const pages = (one.batch * contextOf(one)) / PAGE_SIZE;
  const least = Math.min(...engine.stats().groups.map((group) => (group.kind === "all" ? group.pages : Number.POSITIVE_INFINITY)));
  if (pages <= least) return;
  const size = `${counted(one.batch, "request")} of ${counted(contextOf(one), "token")}`;
  throw new KvasirError(
    "INVALID_ARGUMENT",
    `${size} are more than the cache holds; expected at most ${counted(least * PAGE_SIZE, "token")} in all`,
  );
}

/** Prompts of pseudorandom token ids, so that the prefix cache has none of a new one. */
class Prompts {
  readonly #vocabSize: number;
  #state = 1;

  constructor(vocabSize: number) {
    this.#vocabSize = vocabSize;
  }

  next(length: number): Int32Array {
    return Int32Array.from({ length }, () => {
      this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0; // Numerical Recipes' generator
      return Math.floor((this.#state / 2 ** 32) * this.#vocabSize);
    });
  }
}

async function measure(engine: Engine, prompts: Prompts, one: Case, signal: AbortSignal): Promise<BenchRow[]> {
  const { prompt, batch, context } = one;
  const prefill: number[] = [];
  const decode: number[] = [];
  for (let turn = 0; turn <= RUNS; turn++) {
    const inputs = Array.from({ length: batch }, () => prompts.next(context + prompt));
    const speed = await timeBatch(engine, inputs, one, signal);
    if (turn === 0) continue; // warms up: caches, the processor's clock
    prefill.push(speed.prefill);
    decode.push(speed.decode);
  }
  return [
    { phase: "prefill", prompt, batch, context, tokensPerSecond: median(prefill) },
    { phase: "decode", prompt, batch, context, tokensPerSecond: median(decode) },
  ];
}

/** The prefix cache keeps the phases apart: it holds the contexts before prefill is timed, and the prompts before all requests decode at once. */
async function timeBatch(
  engine: Engine,
  inputs: Int32Array[],
  { context, tokens }: Case,
  signal: AbortSignal,
): Promise<{ prefill: number; decode: number }> {
  const params = { maxTokens: 1, temperature: 0, ignoreEos: true, signal };
  if (context > 0) await Promise.all(inputs.map((input) => engine.generate(input.subarray(0, context), params)));
  const start = performance.now();
  const filled = await Promise.all(inputs.map((input) => engine.generate(input, params)));
  const prefillMs = performance.now() - start;
  const computed = filled.reduce((sum, { usage }) => sum + usage.promptTokens - usage.cachedTokens, 0);
  return {
    prefill: (computed * 1000) / prefillMs,
    decode: await timeDecode(engine, inputs, { ...params, maxTokens: tokens + 1 }),
  };
}

/** Tokens per second from the moment when the last request has its first token. */
async function timeDecode(engine: Engine, inputs: Int32Array[], params: Parameters<Engine["stream"]>[1]): Promise<number> {
  let waiting = inputs.length;
  let start = 0;
  let decoded = 0;
  const follow = async (input: Int32Array): Promise<void> => {
    let first = true;
    for await (const { tokens } of engine.stream(input, params)) {
      if (waiting === 0) decoded += tokens.length;
      else if (first) {
        waiting -= 1;
        if (waiting === 0) start = performance.now();
      }
      first = false;
    }
  };
  await Promise.all(inputs.map(follow));
  return (decoded * 1000) / (performance.now() - start);
}

/** The middle value; of an even number the lower of the two. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 1]!;
}

function head(engine: Engine, model: string): string {
  const { device, processor, threads, isa, compute, kvType } = engine.stats();
  const how = device === "cpu" ? `${counted(threads!, "thread")}, ${isa}` : device;
  return (
    `${model} on ${processor}, ${how}, compute ${compute}, cache ${kvType}; medians of ${RUNS} runs\n\n` +
    "phase    prompt  batch  context  tokens/s\n"
  );
}

function line({ phase, prompt, batch, context, tokensPerSecond }: BenchRow): string {
  const cells = [
    String(prompt).padStart(6),
    String(batch).padStart(5),
    String(context).padStart(7),
    tokensPerSecond.toFixed(1).padStart(8),
  ];
  return `${phase.padEnd(7)}  ${cells.join("  ")}\n`;
}
