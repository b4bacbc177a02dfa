import { checkInteger } from "../../check.ts";
import type { Sequence } from "../sequence.ts";
import type { CacheGroupConfig, GroupSizes } from "./group.ts";
import { TokenPages } from "./tokens.ts";

/** Pages that a sequence holds at most: of what a whole step's tokens see, `window` - 1 + `maxBatchTokens` tokens that begin anywhere in a page. */
export function mostWindowPages(window: number, maxBatchTokens: number, pageSize: number): number {
  return Math.ceil((window + maxBatchTokens - 2) / pageSize) + 1;
}

/**
 * Pages of layers whose tokens see a window of w tokens: those before it are given back while the sequence runs, and a prefix continues
 * where its last w - 1 tokens are cached, whatever comes before them.
 */
export class WindowPages extends TokenPages {
  readonly #window: number;

  constructor(config: CacheGroupConfig, index: number, { pageSize, maxBatchTokens }: GroupSizes) {
    const window = checkInteger("window", config.window, 1, 2 ** 30);
    super(config, index, pageSize, mostWindowPages(window, maxBatchTokens, pageSize));
    this.#window = window;
  }

  /** It may be a page that the window has left behind. */
  mayContinue(): boolean {
    return true;
  }

  /** Whatever ends after a missing page p, and before what was tried last, sees p, too: what ends before p is next. */
  continuable({ hashes }: Sequence, limit: number): number {
    let pages = limit;
    for (let p = pages - 1; p >= this.firstSeen(pages * this.pageSize); p--) if (this.pool.find(hashes[p + 1]!) < 0) pages = p;
    return pages;
  }

  firstSeen(position: number): number {
    return Math.floor(Math.max(0, position - this.#window + 1) / this.pageSize);
  }
}
