import { checkInteger } from "../../check.ts";
import type { Sequence } from "../sequence.ts";
import type { CacheGroupConfig, GroupSizes } from "./group.ts";
import { TokenPages } from "./tokens.ts";

/** Pages of layers whose tokens see all before them: every page is kept, and a prefix continues while its pages are cached in a row. */
export class AllPages extends TokenPages {
  constructor(config: CacheGroupConfig, index: number, { pageSize }: GroupSizes) {
    checkInteger("window", config.window, 0, 0);
    super(config, index, pageSize, Number.POSITIVE_INFINITY);
  }

  mayContinue(hash: string): boolean {
    return this.pool.find(hash) >= 0;
  }

  continuable({ hashes }: Sequence, limit: number): number {
    let pages = 0;
    while (pages < limit && this.pool.find(hashes[pages + 1]!) >= 0) pages += 1;
    return pages;
  }

  firstSeen(): number {
    return 0;
  }
}
