// What benchmarks ask of an engine, of any commit: only the public API is used.

const LEAST_RUNS = 3;
const MEASURED_MS = 1500;
const MOST_TOKENS = 512; // of a stream; far more than what streams need that wait for the last one's prompt

/** So many tokens, which differ from those of other seeds from the first on. */
export const prompt = (length, seed) => Int32Array.from({ length }, (_, t) => 10 + ((t * 7919 + seed * 104729) % 8000));

/** Of a request that gives so many tokens, greedily. */
export const params = (maxTokens) => ({ maxTokens, temperature: 0, ignoreEos: true });

/** What `run(seed)` gives for seeds from 1 on, three times or as often as fits into 1.5 s. */
export async function repeat(run) {
  const figures = [];
  const start = performance.now();
  while (figures.length < LEAST_RUNS || performance.now() - start < MEASURED_MS) figures.push(await run(figures.length + 1));
  return figures;
}

/**
 * Tokens per second of all streams together, `tokens` and more of each: from the moment when each has its first token until one has its last,
 * so that every step between is a full batch.
 */
export async function decodeSpeed(engine, prompts, tokens) {
  const times = prompts.map(() => []); // of each stream's tokens
  const read = async (input, own) => {
    for await (const chunk of engine.stream(input, params(MOST_TOKENS))) {
      const now = performance.now();
      for (const _ of chunk.tokens) own.push(now);
      if (times.every(({ length }) => length > tokens)) break;
    }
  };
  await Promise.all(prompts.map((input, i) => read(input, times[i])));
  const from = Math.max(...times.map((own) => own[0]));
  const to = Math.min(...times.map((own) => own.at(-1)));
  if (to <= from) throw new Error("a stream ended before all had begun");
  return times.reduce((sum, own) => sum + rate(own.filter((time) => time >= from && time <= to)), 0);
}

const rate = (times) => ((times.length - 1) * 1000) / (times.at(-1) - times[0]);
