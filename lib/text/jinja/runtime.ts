import type { Meter } from "./meter.ts";
import type { ArgumentValues, Value } from "./values.ts";

/** What filters, tests and functions may ask of the interpreter. */
export interface Runtime {
  readonly meter: Meter;
  /** The time that `strftime_now` tells. */
  readonly now: () => Date;
  /** Applies a filter that a template names at run time, as in `map("upper")`. */
  filter(name: string, value: Value, given: ArgumentValues): Value;
  /** Whether there is a filter of this name. */
  hasFilter(name: string): boolean;
  /** Applies a test that a template names at run time. */
  test(name: string, value: Value, given: ArgumentValues): boolean;
}

/** A filter: changes a value. */
export type Filter = (runtime: Runtime, value: Value, given: ArgumentValues) => Value;

/** A test: `value is name`. */
export type Test = (runtime: Runtime, value: Value, given: ArgumentValues) => boolean;
