import type { CacheGroupConfig } from "../../../lib/schedule/groups/group.ts";
import { createGroup } from "../../../lib/schedule/groups/index.ts";
import type { SchedulerConfig } from "../../../lib/schedule/scheduler.ts";
import type { MediaSpan, SequenceOptions } from "../../../lib/schedule/sequence.ts";

/** Uniform numbers from a seed (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** A whole number in [0, n). */
  below(n: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let x = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return Math.floor((((x ^ (x >>> 14)) >>> 0) / 2 ** 32) * n);
  }

  chance(share: number): boolean {
    return this.below(1000) < share * 1000;
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }
}

/** Few tokens, so that prefixes are equal by chance, too. */
export const VOCABULARY = 3;
const WINDOWS = [[0], [0, 5], [7], [3, 0, 9], [0, 1]];

/** A scheduler that holds little more than one sequence of its context. */
export function randomConfig(random: Random): SchedulerConfig {
  const pageSize = random.pick([1, 2, 4, 5]);
  const maxBatchTokens = 1 + random.below(12);
  const maxContext = 12 + random.below(40);
  const groups: CacheGroupConfig[] = random.pick(WINDOWS).map((window) => {
    const config = (pages: number): CacheGroupConfig => ({
      kind: window === 0 ? ("all" as const) : ("window" as const),
      window,
      pages,
      draft: false,
    });
    let pages = 1; // the fewest that the scheduler takes, and a few
    while (createGroup(config(pages), 0, { pageSize, maxBatchTokens }).maxContext < maxContext) pages += 1;
    return config(pages + random.below(1 + pages / 2));
  });
  if (random.chance(0.5)) groups.push({ kind: "all", window: 0, pages: Math.ceil(maxContext / pageSize) + random.below(8), draft: true });
  const sizes = { pageSize, maxBatchTokens, maxContext, groups, maxSlots: 1 + random.below(6) };
  return { ...sizes, logitRows: random.pick([1, 2, 3, 100]), prefixCache: random.chance(0.7), modelId: "fake" };
}

function randomPrompt(random: Random, most: number): Int32Array {
  const length = 1 + random.below(most);
  const shared = random.below(length + 1);
  const base = random.below(VOCABULARY);
  return Int32Array.from({ length }, (_, i) => (i < shared ? (base + i) % VOCABULARY : random.below(VOCABULARY)));
}

function randomMedia(random: Random, length: number): MediaSpan[] {
  if (random.chance(0.8)) return [];
  const start = random.below(length);
  return [{ start, end: start + 1 + random.below(length - start), hash: random.pick(["x", "y"]) }];
}

/** What a sequence asks for; its prompt is short mostly. */
export function randomOptions(random: Random, output: SequenceOptions["output"], maxContext: number): SequenceOptions {
  const longest = output === "score" ? maxContext : maxContext - 1;
  const prompt = randomPrompt(random, random.chance(0.7) ? Math.floor(longest / 4) : longest);
  return {
    prompt,
    maxTokens: output === "score" ? 0 : 1 + random.below(maxContext - prompt.length),
    output,
    priority: random.below(3),
    cacheSalt: random.pick(["", "", "salt"]),
    adapter: random.pick(["", "", "a"]),
    media: randomMedia(random, prompt.length),
    speculate: random.chance(0.8),
    logits: output === "score" && random.chance(0.5),
  };
}
