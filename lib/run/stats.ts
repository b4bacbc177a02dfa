import { acceptanceOf } from "../api/completion.ts";
import { cacheGroupsOf, pageBytes } from "../api/pools.ts";
import type { EngineStats } from "../api/stats.ts";
import type { SchedulerStats } from "../schedule/scheduler.ts";
import type { GuessCounts } from "../schedule/sequence.ts";
import type { StepLoop } from "./loop.ts";
import type { EngineParts } from "./parts.ts";

/** No row guessed. */
const NO_GUESSES: GuessCounts = { rows: 0, guessed: 0, right: 0 };

/** What an engine is, by its parts, and does, by what its loop and scheduler hold and what its rows guessed. */
export function statsOf(
  { source, draft, options, info }: EngineParts,
  { running, waiting, meanRows }: ReturnType<StepLoop["stats"]>,
  { preemptions, prefixHits, prefixQueries, groups: pools }: SchedulerStats,
  guesses: GuessCounts = NO_GUESSES,
): EngineStats {
  const owned = cacheGroupsOf(source, draft);
  const groups = pools.map((pool, g) => ({ ...pool, pageBytes: pageBytes(owned[g]!, options.kvType) }));
  const { device, threadsRequested, compute, kvType, maxContext } = options;
  return {
    requestsRunning: running,
    requestsWaiting: waiting,
    preemptions,
    pagesUsed: sum(groups, ({ used }) => used),
    pagesCached: sum(groups, ({ cached }) => cached),
    pagesTotal: sum(groups, ({ pages }) => pages),
    groups,
    weightBytes: info.weightBytes,
    kvCacheBytes: info.kvCacheBytes,
    kvCacheUsedBytes: sum(groups, (group) => group.used * group.pageBytes),
    cacheHitRate: prefixQueries === 0 ? 0 : prefixHits / prefixQueries,
    batchOccupancy: meanRows,
    ...acceptanceOf(guesses),
    device: device.kind,
    ...(device.kind === "cpu" && { isa: device.isa, threads: device.threads }),
    ...(threadsRequested !== undefined && { threadsRequested }),
    compute,
    kvType,
    maxContext,
    contextLength: source.spec.contextLength,
    processor: info.processor,
  };
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
