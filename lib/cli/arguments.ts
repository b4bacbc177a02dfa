import { parseArgs } from "node:util";
import { invalid } from "../check.ts";
import type { EngineOptions } from "../options.ts";
import type { GenerateParams } from "../params.ts";

/** What the command line says: the command's words, and its options by name. */
export interface Arguments {
  words: string[];
  options: Record<string, string | boolean | undefined>;
}

const MODEL_OPTIONS = ["model", "device", "isa", "threads", "compute", "kv-type", "context"] as const;
const SAMPLING_OPTIONS = ["max-tokens", "temperature", "top-k", "top-p", "min-p", "repetition-penalty", "seed"] as const;
const OTHER_OPTIONS = ["prompt", "tokens", "batch", "text"] as const;
const FLAGS = ["json", "help", "version"] as const;

/** Reads the command line. Throws what `parseArgs` says of an unknown option. */
export function readArguments(args: readonly string[]): Arguments {
  const options: Record<string, { type: "string" | "boolean" }> = {};
  for (const name of [...MODEL_OPTIONS, ...SAMPLING_OPTIONS, ...OTHER_OPTIONS]) options[name] = { type: "string" };
  for (const name of FLAGS) options[name] = { type: "boolean" };
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  return { words: positionals, options: values as Arguments["options"] };
}

/** Options of `Engine.open` from the command line. */
export function engineOptions({ options }: Arguments): EngineOptions {
  const context = number(options, "context");
  const threads = number(options, "threads");
  return {
    ...text(options, "device", "device"),
    ...text(options, "isa", "isa"),
    ...text(options, "compute", "compute"),
    ...text(options, "kv-type", "kvType"),
    ...(threads === undefined ? {} : { threads }),
    ...(context === undefined ? {} : { maxContext: context }),
  } as EngineOptions;
}

/** Parameters of `generate` from the command line. */
export function generateParams({ options }: Arguments): GenerateParams {
  const params: Record<string, number> = {};
  for (const name of SAMPLING_OPTIONS) {
    const value = number(options, name);
    if (value !== undefined) params[name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())] = value;
  }
  return params;
}

/** A comma-separated list of positive integers. */
export function integers({ options }: Arguments, name: string, fallback: number[]): number[] {
  const given = options[name];
  if (typeof given !== "string") return fallback;
  const values = given.split(",").map(Number);
  if (values.every((value) => Number.isInteger(value) && value > 0)) return values;
  throw invalid(`--${name}`, given, "positive integers, separated by commas");
}

/** A number, or `undefined` where the option is not given. */
export function number(options: Arguments["options"], name: string): number | undefined {
  const given = options[name];
  if (typeof given !== "string") return undefined;
  const value = Number(given);
  if (given.trim() === "" || Number.isNaN(value)) throw invalid(`--${name}`, given, "a number");
  return value;
}

function text(options: Arguments["options"], name: string, key: string): Record<string, string> {
  const given = options[name];
  return typeof given === "string" ? { [key]: given } : {};
}
