import { NUMBER_FILTERS } from "./number-filters.ts";
import type { Filter } from "./runtime.ts";
import { SELECT_FILTERS } from "./select-filters.ts";
import { SEQUENCE_FILTERS } from "./sequence-filters.ts";
import { TEXT_FILTERS } from "./text-filters.ts";
import { WEB_FILTERS } from "./web-filters.ts";

/** Filters by name. */
export const FILTERS: ReadonlyMap<string, Filter> = new Map([
  ...TEXT_FILTERS,
  ...NUMBER_FILTERS,
  ...SEQUENCE_FILTERS,
  ...SELECT_FILTERS,
  ...WEB_FILTERS,
]);
