import { KvasirError } from "../errors.ts";
import type { CacheGroup, ModelSource } from "../model/spec.ts";
import type { KvType } from "../native/addon.ts";
import { mostWindowPages } from "../schedule/groups/window.ts";
import { largestFitting } from "./search.ts";

/** Tokens of a page. Chosen: the fewest that the native side takes, so that prefixes are shared in small steps and little is left empty. */
export const PAGE_SIZE = 16;

/** Sequences that run at once. Chosen: eight times the 32 streams of the serving benchmark; those beyond wait in the queue. */
export const MAX_SLOTS = 256;

/** What the pools are sized from. */
export interface PoolRequest {
  /** The caller's `maxContext`. */
  asked: number | undefined;
  /** The model's. */
  trained: number;
  /** The caller's `kvCacheBytes`. */
  bytes: number | undefined;
  /** What the device has for the cache: unasked, and at most. */
  memory: { usual: number; most: number };
  kvType: KvType;
  maxBatchTokens: number;
}

const ELEMENT_BYTES: Readonly<Record<KvType, number>> = { f32: 4, f16: 2, bf16: 2, fp8: 1 };
export const KV_TYPES = Object.keys(ELEMENT_BYTES) as readonly KvType[];

/** A cache group of the model or of its draft model. */
export interface OwnedGroup extends CacheGroup {
  draft: boolean;
}

/** The cache groups of both models. All pages of a draft model are kept, its windows', too: it may lag behind and need them again. */
export function cacheGroupsOf(source: ModelSource, draft: ModelSource | undefined): OwnedGroup[] {
  const own = source.spec.cacheGroups.map((group) => ({ ...group, draft: false }));
  const drafts = draft?.spec.cacheGroups.map((group) => ({ ...group, kind: "all" as const, window: 0, draft: true })) ?? [];
  return [...own, ...drafts];
}

/** Bytes of one page: all parts of its tokens in each layer of the group. */
export function pageBytes(group: CacheGroup, kvType: KvType): number {
  const tokenBytes = group.parts.reduce((sum, { elements, type }) => sum + elements * ELEMENT_BYTES[type === "kv" ? kvType : type], 0);
  return group.layers.length * PAGE_SIZE * tokenBytes;
}

/** Pages of a pool that the native side takes at most; and more pages than any memory has. */
const MOST_POOL_PAGES = 2 ** 26;
const MOST_TOKEN_PAGES = 2 ** 40;

/** Sequences of full length that the default cache holds. Chosen: most requests are shorter, so that many more run at once. */
const DEFAULT_SEQUENCES = 8;

/**
 * Pages of each group: those for the largest number of tokens N whose pools together fit the bytes, and no more than `MAX_SLOTS` sequences
 * can use. A group without a window gets pages for N tokens. In a group with a window a sequence never holds more than the window, one
 * step's tokens and a page: the group gets that for each of max(8, N / maxContext) sequences or pages for N / 8 tokens, so that many short
 * sequences run before they have filled it, whichever is more; but no more than N tokens.
 */
export function sizePools(groups: readonly CacheGroup[], request: PoolRequest): { pages: number[]; maxContext: number } {
  const context = request.asked ?? request.trained;
  const most = Math.ceil(context / PAGE_SIZE);
  const pagesFor = (tokenPages: number): number[] => groups.map((group) => groupPages(group, tokenPages, context, request.maxBatchTokens));
  const bytesFor = (tokenPages: number): number => {
    const pages = pagesFor(tokenPages);
    return groups.reduce((sum, group, g) => sum + pages[g]! * pageBytes(group, request.kvType), 0);
  };
  const budget = request.bytes ?? defaultBudget(bytesFor(most), bytesFor(most * DEFAULT_SEQUENCES), request);
  if (bytesFor(1) > budget) {
    throw new KvasirError("INVALID_ARGUMENT", `kvCacheBytes is ${budget}; expected at least ${bytesFor(1)}, one page of each cache group`);
  }
  const tokenPages = largestFitting(MOST_TOKEN_PAGES, (n) => bytesFor(n) <= budget && Math.max(...pagesFor(n)) <= MOST_POOL_PAGES);
  return { pages: pagesFor(tokenPages), maxContext: Math.min(context, tokenPages * PAGE_SIZE) };
}

function groupPages(group: CacheGroup, tokenPages: number, context: number, maxBatchTokens: number): number {
  const held = sequencePages(group, context, maxBatchTokens);
  if (group.kind === "all") return Math.min(tokenPages, MAX_SLOTS * held);
  const sequences = Math.max(DEFAULT_SEQUENCES, Math.ceil(tokenPages / Math.ceil(context / PAGE_SIZE)));
  const wanted = Math.max(sequences * held, Math.floor(tokenPages / DEFAULT_SEQUENCES));
  return Math.min(tokenPages, wanted, MAX_SLOTS * held);
}

/** Pages that a sequence of `context` tokens holds at most. */
export function sequencePages({ kind, window }: CacheGroup, context: number, maxBatchTokens: number): number {
  const all = Math.ceil(context / PAGE_SIZE);
  return kind === "all" ? all : Math.min(all, mostWindowPages(window, maxBatchTokens, PAGE_SIZE));
}

/**
 * Bytes of `DEFAULT_SEQUENCES` sequences, but at most what the device usually gives. Where the caller asked for a context, at least those of
 * one sequence, up to all that the device has for it.
 */
function defaultBudget(oneSequence: number, allSequences: number, { memory, asked }: PoolRequest): number {
  const usual = Math.min(allSequences, memory.usual);
  return asked === undefined ? usual : Math.max(usual, Math.min(oneSequence, memory.most));
}
