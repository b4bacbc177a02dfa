// Decode of many streams at once, with an engine of any commit: only the public API is used.

const MOST_TOKENS = 512; // of a stream; far more than what streams need that wait for the last one's prompt

/**
 * Tokens per second of all streams together, `tokens` and more of each: from the moment when each has its first token until one has its last,
 * so that every step between is a full batch.
 */
export async function decodeSpeed(engine, prompts, tokens) {
  const times = prompts.map(() => []); // of each stream's tokens
  const read = async (prompt, own) => {
    for await (const chunk of engine.stream(prompt, { maxTokens: MOST_TOKENS, temperature: 0, ignoreEos: true })) {
      const now = performance.now();
      for (const _ of chunk.tokens) own.push(now);
      if (times.every(({ length }) => length > tokens)) break;
    }
  };
  await Promise.all(prompts.map((prompt, i) => read(prompt, times[i])));
  const from = Math.max(...times.map((own) => own[0]));
  const to = Math.min(...times.map((own) => own.at(-1)));
  if (to <= from) throw new Error("a stream ended before all had begun");
  return times.reduce((sum, own) => sum + rate(own.filter((time) => time >= from && time <= to)), 0);
}

const rate = (times) => ((times.length - 1) * 1000) / (times.at(-1) - times[0]);
