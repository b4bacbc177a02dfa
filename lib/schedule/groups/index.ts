import { AllPages } from "./all.ts";
import type { CacheGroupConfig, GroupPages, GroupSizes } from "./group.ts";
import { WindowPages } from "./window.ts";

const KINDS = { all: AllPages, window: WindowPages };

/** Makes the group of its kind. */
export function createGroup(config: CacheGroupConfig, index: number, sizes: GroupSizes): GroupPages {
  return new KINDS[config.kind](config, index, sizes);
}
